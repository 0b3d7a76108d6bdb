"""Domains of the office, money and machines."""

from decoding.training.tool_domain import Domain, act
from decoding.training.tool_slots import choice, flag, number, numbers, text, texts, whole
from decoding.training.tool_words import (
    ADDRESS,
    CITIES,
    CODE,
    COLUMNS,
    COMPANY,
    COUNTRIES,
    CURRENCIES,
    EMAIL,
    FIRST_NAMES,
    FOLDER,
    FULL_NAME,
    ITEM,
    JOBS,
    LANGUAGES,
    PATH,
    PHONE,
    REMARK,
    SENTENCES,
    SKILLS,
    SYMBOLS,
    TABLES,
    TITLE,
    TOPICS,
    a_date,
    a_time,
    one_of,
)

_CITY = one_of(CITIES)
_DATE = text("date|day", a_date, "on {}", "Date as YYYY-MM-DD")
_TIME = text("time|start_time|start", a_time, "at {}", "Time as HH:MM, 24 hours")
_AMOUNT = number("amount|sum|value", 5, 5000, "of {}", "Amount of money", 2)
_CURRENCY = choice("currency|currency_code", " ".join(CURRENCIES), "in {}", "ISO 4217 code")
_PEOPLE = texts("attendees|participants", one_of(FIRST_NAMES), "with {}", "Who takes part")
_PRIORITY = choice("priority|importance", "low normal high urgent", "with {} priority", "Urgency")
_FROM = text("start_date|from_date", a_date, "from {}|since {}", "First day, YYYY-MM-DD")
_UNTIL = text("end_date|to_date", a_date, "until {}|up to {}", "Last day, YYYY-MM-DD")
_LIMIT = whole("limit|max_results|top_k", 3, 50, "(at most {} of them)", "How many at most")

CALENDAR = Domain(
    "calendar",
    (
        act(
            "create add schedule",
            "event meeting calendar_entry appointment",
            "Put an event into the calendar",
            "schedule a meeting|put something into my calendar|create an appointment",
            (
                text("title|subject|summary", one_of(TOPICS), "about the {}", "Title"),
                _DATE,
                _TIME,
            ),
            (
                whole("duration|minutes|duration_minutes", 10, 180, "for {} minutes", "Minutes"),
                _PEOPLE,
                choice("repeat|recurrence", "never daily weekly monthly", "repeated {}", "Repeats"),
                text("location|room", ADDRESS, "at the office in {}", "Where"),
            ),
        ),
        act(
            "list get show",
            "events agenda free_slots",
            "What is in the calendar",
            "what is in my calendar|show my agenda|list my events",
            (_DATE,),
            (
                text("calendar|owner", one_of(FIRST_NAMES), "from the calendar of {}", "Owner"),
                flag("include_private", "private ones too", "without private ones", "Private too"),
            ),
        ),
        act(
            "remind set",
            "reminder alarm_clock timer",
            "Set a reminder",
            "remind me|set a reminder",
            (text("text|about|message", one_of(TOPICS), "of the {}", "What it is about"), _TIME),
            (_DATE, whole("snooze_minutes", 5, 30, "and again after {} minutes", "Pause")),
        ),
    ),
    (text("event_id", CODE, "", ""), text("start", a_time, "", "")),
)
BANKING = Domain(
    "banking",
    (
        act(
            "transfer send wire",
            "money funds payment",
            "Send money to somebody",
            "transfer money|make a payment|send a payment",
            (_AMOUNT, text("recipient|payee|to", FULL_NAME, "to {}", "Who gets it")),
            (
                _CURRENCY,
                text("reference|memo", CODE, "with the reference {}", "Text on the statement"),
                text("from_account|account", CODE, "from account {}", "Account to take it from"),
                text("execution_date", a_date, "on {}", "Day of the transfer, YYYY-MM-DD"),
                flag("instant", "as an instant transfer", "not as an instant one", "At once"),
            ),
        ),
        act(
            "get show list",
            "balance account_balance transactions statement",
            "Balance or movements of an account",
            "what is the balance|show me the movements|look at the account",
            (text("account_id|account_number", CODE, "of account {}", "Account"),),
            (_FROM, _UNTIL, _LIMIT),
        ),
        act(
            "block order activate",
            "credit_card debit_card bank_card",
            "Manage a card",
            "I lost my card, please take care of it|do something about the card",
            (text("card|card_number", CODE, "numbered {}", "Card"),),
            (
                choice("reason", "lost stolen damaged expired", "because it is {}", "Reason"),
                text("address", ADDRESS, "and send the new one to {}", "Delivery address"),
            ),
        ),
    ),
    (number("balance", 20, 9000, "", "", 2), text("transaction_id", CODE, "", "")),
)
LOANS = Domain(
    "finance",
    (
        act(
            "calculate compute estimate",
            "loan_payment mortgage_rate monthly_installment",
            "Monthly payment of a loan",
            "calculate the monthly payment|what do I pay each month",
            (
                whole("principal|loan_amount", 1000, 400000, "for a loan of {}", "Sum borrowed"),
                number("interest_rate|annual_rate", 1, 9, "at {} percent", "Percent a year", 2),
                whole("years|term_years", 2, 35, "over {} years", "Years"),
            ),
            (
                whole("down_payment", 500, 90000, "with a down payment of {}", "Paid at once"),
                choice("frequency", "weekly monthly yearly", "with {} payments", "How often"),
            ),
        ),
        act(
            "calculate project",
            "compound_interest investment_return savings",
            "Growth of savings",
            "how much will my savings be worth|calculate what an investment grows to",
            (
                whole("initial|present_value", 500, 90000, "starting with {}", "Start"),
                number("rate|growth_rate", 1, 12, "at {} percent a year", "Percent a year", 1),
                whole("periods|num_years", 1, 40, "after {} years", "Years"),
            ),
            (whole("contribution", 20, 900, "adding {} a month", "Added each month"),),
        ),
        act(
            "convert exchange",
            "currency money_amount",
            "Convert between currencies",
            "convert money|how much money is it after an exchange",
            (
                _AMOUNT,
                text("from_currency|source", one_of(CURRENCIES), "from {}", "ISO 4217 code"),
                text("to_currency|target", one_of(CURRENCIES), "to {}", "ISO 4217 code"),
            ),
            (_DATE,),
        ),
    ),
    (number("payment", 90, 3000, "", "", 2), number("total", 1000, 90000, "", "", 2)),
)
STOCKS = Domain(
    "stocks",
    (
        act(
            "get fetch lookup",
            "stock_price quote share_price",
            "Price of a share",
            "what is the share price|look up the price of the stock|quote the stock",
            (text("symbol|ticker", one_of(SYMBOLS), "of {}", "Ticker symbol"),),
            (
                _DATE,
                _CURRENCY,
                choice("interval", "1min 5min 1h 1d 1w", "at the interval {}", "Resolution"),
            ),
        ),
        act(
            "place submit",
            "stock_order trade limit_order",
            "Buy or sell shares",
            "place an order|trade some stock",
            (
                choice("side|direction", "buy sell", "to {}", "Buy or sell"),
                whole("quantity|shares", 1, 400, "for {} shares", "Number of shares"),
                text("symbol", one_of(SYMBOLS), "of {}", "Ticker symbol"),
            ),
            (
                number("limit_price|limit", 4, 400, "at a limit of {}", "Price limit", 2),
                choice("validity", "day week good_till_cancelled", "valid: {}", "How long"),
            ),
        ),
        act(
            "compare analyze",
            "stocks portfolio shares",
            "Compare several shares",
            "compare the shares|analyze these stocks, I mean those",
            (texts("symbols|tickers", one_of(SYMBOLS), "of {}", "Ticker symbols"),),
            (_FROM, choice("metric", "price volume dividend pe_ratio", "by {}", "What counts")),
        ),
    ),
    (number("price", 4, 400, "", "", 2), whole("volume", 1000, 900000, "", "")),
)
EMAIL_DOMAIN = Domain(
    "email",
    (
        act(
            "send write compose",
            "email mail email_message",
            "Send an e-mail",
            "send an email|write a mail|compose an email",
            (
                text("to|recipient|address", EMAIL, "to {}", "E-mail address"),
                text("subject|title", one_of(TOPICS), 'with the subject "{}"', "Subject line"),
                text("body|text|content", REMARK, 'that says "{}"', "Text of the mail"),
            ),
            (
                texts("cc", EMAIL, "with a copy to {}", "Further addresses"),
                text("attachment|attach", PATH, "with the file {} attached", "File"),
                _PRIORITY,
            ),
        ),
        act(
            "search find list",
            "emails inbox mails",
            "Search the inbox",
            "search my inbox|find the mails|look through my email",
            (text("sender|from", EMAIL, "from {}", "Address of the sender"),),
            (
                text("query|keyword", one_of(TOPICS), "about the {}", "Words to look for"),
                text("after|since", a_date, "since {}", "First day, YYYY-MM-DD"),
                choice("folder", "inbox sent archive spam", "in the folder {}", "Folder"),
                flag("unread_only", "only unread ones", "read or not", "Only unread"),
                _LIMIT,
            ),
        ),
    ),
    (text("message_id", CODE, "", ""), text("from", EMAIL, "", "")),
)
MESSAGING = Domain(
    "messaging",
    (
        act(
            "send post",
            "message sms chat_message text_message",
            "Send a short message",
            "send a message|text somebody, please: a message",
            (
                text("recipient|contact|to", one_of(FIRST_NAMES), "to {}", "Who gets it"),
                text("text|message|body", REMARK, 'saying "{}"', "The message"),
            ),
            (
                choice("channel|via", "sms chat voice", "by {}", "How it is sent"),
                text("send_at", a_time, "at {}", "When, HH:MM"),
                flag("urgent", "marked as urgent", "it is not urgent", "Is it urgent"),
            ),
        ),
        act(
            "add create save",
            "contact phonebook_entry address_card",
            "Save a contact",
            "save a contact|add somebody to my contacts",
            (
                text("name|full_name", FULL_NAME, "for {}", "Name"),
                text("phone|phone_number|mobile", PHONE, "with the number {}", "Phone number"),
            ),
            (
                text("email", EMAIL, "and the address {}", "E-mail address"),
                text("company|employer", COMPANY, "at {}", "Company"),
                choice("group", "family friends work", "in the group {}", "Group"),
            ),
        ),
    ),
    (text("message_id", CODE, "", ""), choice("state", "sent queued delivered", "", "")),
)
FILES = Domain(
    "files",
    (
        act(
            "copy move rename",
            "file document item",
            "Copy or move a file",
            "move the file|take the file and put it elsewhere, I mean the one",
            (
                text("source|src|from_path", PATH, "from {}", "Path of the file"),
                text("destination|dst|to_path", FOLDER, "to {}", "Target folder"),
            ),
            (flag("overwrite|force", "overwriting what is there", "never overwrite", "Replace"),),
        ),
        act(
            "find search list",
            "files documents directory",
            "Find files in a folder",
            "find files|which files are there|list the files",
            (text("folder|directory|path", FOLDER, "in {}", "Folder"),),
            (
                choice("extension|file_type", "pdf csv txt jpg py docx", "of the type {}", "Type"),
                whole("min_size_kb", 10, 9000, "larger than {} kB", "Smallest size in kB"),
                text("modified_after", a_date, "changed after {}", "YYYY-MM-DD"),
                flag("recursive", "in all subfolders too", "without subfolders", "Go deeper"),
            ),
        ),
        act(
            "read open compress delete",
            "text_file archive_file log_file",
            "Work on a file",
            "work on the file|handle the file",
            (text("path|file_path|filename", PATH, "{}", "Path of the file"),),
            (
                choice("encoding", "utf-8 latin-1 ascii", "encoded in {}", "Encoding"),
                whole("max_lines|lines", 10, 500, "up to {} lines", "Lines at most"),
            ),
        ),
    ),
    (text("path", PATH, "", ""), whole("bytes", 200, 90000, "", "")),
)
DATABASES = Domain(
    "database",
    (
        act(
            "query select fetch",
            "table records rows",
            "Rows of a table",
            "fetch the rows|query the database|select records",
            (text("table|table_name", one_of(TABLES), "from the table {}", "Table"),),
            (
                texts("columns|fields", one_of(COLUMNS), "with the columns {}", "Columns"),
                text("order_by|sort_by", one_of(COLUMNS), "sorted by {}", "Column to sort by"),
                choice("order", "asc desc", "in {} order", "Direction"),
                _LIMIT,
            ),
        ),
        act(
            "update insert change",
            "record row entry",
            "Change a record",
            "update the record|change an entry in the database",
            (
                text("table", one_of(TABLES), "in the table {}", "Table"),
                whole("id|record_id|key", 100, 99999, "with the id {}", "Key of the record"),
                text("column|field", one_of(COLUMNS), "in the column {}", "Column"),
                text("value|new_value", CODE, "to {}", "New value"),
            ),
            (flag("commit", "and commit", "without commit", "Commit at once"),),
        ),
        act(
            "backup restore export",
            "database schema_dump data_snapshot",
            "Back up a database",
            "make a backup|save a snapshot of the database",
            (text("target|path", PATH, "to {}", "File"),),
            (
                texts("tables|only_tables", one_of(TABLES), "of the tables {}", "Tables"),
                choice("compression", "none gzip zstd", "with {} compression", "Compression"),
            ),
        ),
    ),
    (whole("rows", 1, 900, "", ""), choice("status", "ok done", "", "")),
)
SHOPPING = Domain(
    "shopping",
    (
        act(
            "order buy add_to_cart",
            "product article item_from_shop",
            "Buy a product",
            "order something from the shop|I want to buy something|add to my cart",
            (
                text("product|item|article", ITEM, "namely the {}", "Product"),
                whole("quantity|count", 1, 12, "times {}|in the quantity {}", "How many"),
            ),
            (
                choice("size", "XS S M L XL", "in size {}", "Size"),
                text("address|ship_to", ADDRESS, "to {}", "Delivery address"),
                flag("express", "by express", "by normal delivery", "Express delivery"),
                flag("gift|gift_wrap", "wrapped as a gift", "without gift wrap", "As a gift"),
                text("coupon|coupon_code", CODE, "with the coupon {}", "Coupon"),
            ),
        ),
        act(
            "search find browse",
            "products catalog shop_offers",
            "Search the shop",
            "search the shop|what do you have in the shop|find an offer",
            (text("query|keywords|term", ITEM, "for a {}", "What to look for"),),
            (
                number("max_price|price_to", 10, 700, "for at most {}", "Highest price", 2),
                number("min_price|price_from", 1, 90, "from {} up", "Lowest price", 2),
                text("brand", COMPANY, "by {}", "Brand"),
                choice("sort", "price rating newest relevance", "sorted by {}", "Order"),
                _LIMIT,
            ),
        ),
        act(
            "track return cancel",
            "order parcel purchase",
            "Follow or undo an order",
            "what about my order|take care of my order|see to the parcel",
            (text("order_id|order_number", CODE, "with the number {}", "Order number"),),
            (
                text("email", EMAIL, "for the customer {}", "E-mail of the customer"),
                choice("reason", "damaged late wrong_size not_needed", "because: {}", "Reason"),
            ),
        ),
    ),
    (number("price", 5, 300, "", "", 2), text("order_id", CODE, "", "")),
)
TRANSLATION = Domain(
    "translation",
    (
        act(
            "translate convert",
            "text sentence phrase",
            "Translate a text",
            "translate|please translate",
            (
                text("text|sentence|source_text", one_of(SENTENCES), '"{}"', "Text to translate"),
                text("target_language|to_language", one_of(LANGUAGES), "into {}", "Language"),
            ),
            (
                text(
                    "source_language|from_lang", one_of(LANGUAGES), "from {}", "Language it is in"
                ),
                choice("tone|formality", "formal informal neutral", "in a {} tone", "Tone"),
            ),
        ),
        act(
            "detect summarize check",
            "language grammar spelling",
            "Look at a text",
            "look at this text:|examine the text",
            (text("text|passage", one_of(SENTENCES), '"{}"', "The text"),),
            (
                whole("max_words", 5, 60, "in at most {} words", "Longest answer"),
                flag("explain", "and explain it", "no explanation needed", "Give reasons"),
            ),
        ),
    ),
    (text("text", one_of(SENTENCES), "", ""), number("confidence", 0.2, 1, "", "", 2)),
)
REAL_ESTATE = Domain(
    "real_estate",
    (
        act(
            "search find list",
            "apartments houses homes_for_sale",
            "Flats and houses on the market",
            "find a home|search for a flat|which homes are on offer",
            (text("city|location|area", _CITY, "in {}", "City"),),
            (
                whole("bedrooms|rooms|min_rooms", 1, 6, "with {} rooms", "Number of rooms"),
                whole("max_rent|max_price", 500, 4000, "for up to {} a month", "Highest rent"),
                choice("type|property_type", "flat house studio loft", "as a {}", "Kind"),
                number("min_area|area_sqm", 25, 180, "with {} square metres", "Area in m2"),
                flag("furnished", "furnished", "unfurnished", "Comes with furniture"),
            ),
        ),
        act(
            "schedule arrange",
            "property_viewing house_tour visit",
            "Visit a property",
            "arrange a viewing|I want to see the property",
            (text("address|property", ADDRESS, "at {}", "Address"), _DATE),
            (_TIME, text("agent", FULL_NAME, "with the agent {}", "Agent")),
        ),
    ),
    (text("address", ADDRESS, "", ""), whole("rent", 500, 4000, "", "")),
)
LAW = Domain(
    "law",
    (
        act(
            "search find lookup",
            "court_cases rulings case_law",
            "Court cases",
            "find court cases|search the rulings",
            (
                text("topic|subject|keyword", one_of(TOPICS), "about a {}", "Subject"),
                text("jurisdiction|country", one_of(COUNTRIES), "in {}", "Country"),
            ),
            (
                whole("year|year_from", 1960, 2024, "since {}", "First year"),
                choice("court", "supreme appeal district labour", "of the {} court", "Court"),
                _LIMIT,
            ),
        ),
        act(
            "get retrieve open",
            "case_details contract_clause legal_document",
            "One case",
            "open the legal file|get me the case",
            (text("case_number|docket", CODE, "number {}", "Number of the case"),),
            (
                text("party|plaintiff", COMPANY, "of {}", "One of the parties"),
                flag("full_text", "with the full text", "without the full text", "Whole text"),
            ),
        ),
    ),
    (text("case_number", CODE, "", ""), choice("outcome", "won lost settled", "", "")),
)
CAREERS = Domain(
    "jobs",
    (
        act(
            "search find match",
            "jobs job_openings vacancies",
            "Open jobs",
            "find a job|which jobs are open|look for vacancies",
            (
                text("title|role|position", one_of(JOBS), "as {}|for a {}", "Job"),
                text("city|location", _CITY, "in {}", "Where"),
            ),
            (
                whole("min_salary|salary", 20000, 120000, "paid at least {} a year", "Salary"),
                flag("remote", "with work from home", "no remote work", "From home"),
                texts("skills|required_skills", one_of(SKILLS), "for somebody with {}", "Skills"),
                choice("contract", "full_time part_time internship", "on a {} contract", "Kind"),
            ),
        ),
        act(
            "apply submit",
            "job_application application candidate",
            "Apply for a job",
            "send an application|apply for a position",
            (
                text("applicant|candidate_name", FULL_NAME, "for {}", "Applicant"),
                text("company|employer", COMPANY, "at {}", "Company"),
                text("position|role", one_of(JOBS), "as {}", "Position"),
            ),
            (
                text("resume|cv_path", PATH, "with the resume {}", "File"),
                text("available_from", a_date, "available from {}", "First day, YYYY-MM-DD"),
            ),
        ),
    ),
    (text("company", COMPANY, "", ""), whole("salary", 20000, 120000, "", "")),
)
PROJECTS = Domain(
    "projects",
    (
        act(
            "create open assign",
            "ticket task issue_report",
            "Create a task in the tracker",
            "open a ticket|create a task",
            (
                text("title|summary", one_of(TOPICS), "for the {}", "Title"),
                text("assignee|owner", one_of(FIRST_NAMES), "assigned to {}", "Who does it"),
            ),
            (
                _PRIORITY,
                text("due|due_date|deadline", a_date, "due on {}", "Deadline, YYYY-MM-DD"),
                number("estimate_hours|hours", 1, 40, "estimated at {} hours", "Hours"),
                choice("status", "open in_progress blocked done", "in the state {}", "State"),
            ),
        ),
        act(
            "log record",
            "work_hours working_time timesheet",
            "Record hours of work",
            "log my hours|record the time that was worked",
            (
                numbers("hours|hours_per_day", 1, 9, "namely {} hours", "Hours day by day"),
                text("project|project_name", TITLE, 'on the project "{}"', "Project"),
            ),
            (
                text("week_of", a_date, "for the week of {}", "YYYY-MM-DD"),
                text("employee", FULL_NAME, "by {}", "Who worked"),
            ),
        ),
    ),
    (text("ticket", CODE, "", ""), choice("status", "open done", "", "")),
)

WORK = (
    CALENDAR,
    BANKING,
    LOANS,
    STOCKS,
    EMAIL_DOMAIN,
    MESSAGING,
    FILES,
    DATABASES,
    SHOPPING,
    TRANSLATION,
    REAL_ESTATE,
    LAW,
    CAREERS,
    PROJECTS,
)
