"""Domains of money, trade and language."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.slots import choice, flag, number, text, texts, whole
from decoding.training.synthetic.words import (
    ADDRESS,
    CITIES,
    CODE,
    COMPANY,
    CURRENCIES,
    EMAIL,
    FULL_NAME,
    ITEM,
    LANGUAGES,
    SENTENCES,
    SYMBOLS,
    a_date,
    a_time,
    one_of,
)

_CITY = one_of(CITIES)
_DATE = text("date|day", a_date, "on {}", "Date as YYYY-MM-DD")
_TIME = text("time|start_time|start", a_time, "at {}", "Time as HH:MM, 24 hours")
_AMOUNT = number("amount|sum|value", 5, 5000, "of {}", "Amount of money", 2)
_CURRENCY = choice("currency|currency_code", " ".join(CURRENCIES), "in {}", "ISO 4217 code")
_FROM = text("start_date|from_date", a_date, "from {}|since {}", "First day, YYYY-MM-DD")
_UNTIL = text("end_date|to_date", a_date, "until {}|up to {}", "Last day, YYYY-MM-DD")
_LIMIT = whole("limit|max_results|top_k", 3, 50, "(at most {} of them)", "How many at most")

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

MONEY = (
    BANKING,
    LOANS,
    STOCKS,
    SHOPPING,
    REAL_ESTATE,
    TRANSLATION,
)
