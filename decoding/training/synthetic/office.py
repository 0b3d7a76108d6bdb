"""Domains of the office and its machines."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.slots import choice, flag, number, numbers, text, texts, whole
from decoding.training.synthetic.words import (
    ADDRESS,
    CITIES,
    CODE,
    COLUMNS,
    COMPANY,
    COUNTRIES,
    EMAIL,
    FIRST_NAMES,
    FOLDER,
    FULL_NAME,
    JOBS,
    PATH,
    PHONE,
    REMARK,
    SKILLS,
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
_PEOPLE = texts("attendees|participants", one_of(FIRST_NAMES), "with {}", "Who takes part")
_PRIORITY = choice("priority|importance", "low normal high urgent", "with {} priority", "Urgency")
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

LAW = Domain(
    "law",
    (
        act(
            "search find lookup",
            "court_cases rulings case_law",
            "Court cases",
            "find court cases|search the rulings",
            (
                text("topic|subject|keyword", one_of(TOPICS), "about the {}", "Subject"),
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

OFFICE = (
    CALENDAR,
    EMAIL_DOMAIN,
    MESSAGING,
    FILES,
    DATABASES,
    PROJECTS,
    LAW,
    CAREERS,
)
