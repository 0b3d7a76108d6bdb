"""Domains of large numbers, several rates, implied counts and several numbers of one kind."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.quantities import (
    amount,
    compounding,
    counted,
    distance,
    implied,
    months,
    position,
    share,
    shares,
    starting_speed,
    worded,
)
from decoding.training.synthetic.slots import Slot, choice, flag, number, numbers, text, whole
from decoding.training.synthetic.words import COMPANY, COUNTRIES, PLACE, one_of

_PEOPLE = "population|inhabitants|num_people"
_YEARS = months("years|num_years|period", "for {}|over {}", "Time", "year")
_DIGITS = whole("decimals|precision", 1, 6, "to {} decimal places", "Decimal places")
DEMOGRAPHY = Domain(
    "demography",
    (
        act(
            "calculate compute",
            "people_per_area settlement_density crowding",
            "How many people live on a square kilometre",
            "how crowded is it|work out the crowding",
            (
                amount(_PEOPLE, 20_000, 900_000_000, "of {} people", "How many live there"),
                amount("area|land_area|area_km2", 1_000, 9_000_000, "on {} km²", "Area in km2"),
            ),
            (
                flag("include_water", "including lakes and rivers", "without the lakes", "Water"),
                whole("year", 1950, 2025, "as of {}", "Year of the figures"),
            ),
            "How crowded is a land with {0} people on {1} square kilometres?|{0} inhabitants "
            "share {1} square kilometres. How many is that on each?|If {1} km² are home to {0} "
            "people, how many live on one?",
        ),
        act(
            "calculate estimate",
            "income_per_head output_per_person national_income",
            "Output of an economy for each of its people",
            "what does each one earn|estimate the income of each",
            (
                amount("output|gdp|total_income", 10**8, 4 * 10**12, "of {} dollars", "In dollars"),
                amount(_PEOPLE, 50_000, 900_000_000, "for {} people", "How many live there"),
            ),
            (share("growth|inflation", 1, 12, "with prices rising {}", "Rise of prices"),),
            "An economy of ${0} feeds {1} people. What is that for each?|{1} people make {0} "
            "dollars a year together. What does each make?",
        ),
        act(
            "estimate forecast",
            "water_demand food_demand housing_demand",
            "What a town needs in the time to come",
            "what will the town need|estimate the demand",
            (
                amount(_PEOPLE, 2_000, 30_000_000, "for {} people", "How many live there"),
                share("growth_rate|yearly_growth", 0.5, 9, "growing by {}", "Growth a year"),
                _YEARS,
            ),
            (share("losses|loss_rate", 2, 30, "with losses of {}", "Share that is lost"),),
            "A town of {0} people grows by {1} a year. What does it need in {2}?|For {2}: {0} "
            "inhabitants, {1} more each year. What is the demand?",
        ),
        act(
            "get find show",
            "census_figures district_population census_report",
            "Figures of a census",
            "show me the census|what does the census say",
            (text("place|location|city", PLACE, "of {}", "City and country"),),
            (
                whole("year|census_year", 1950, 2025, "of {}", "Year of the census"),
                flag("by_age|include_age_groups", "also by age", "not by age", "Split by age"),
            ),
            "How many people does the census count in {0}?|What did the census find for {0}?",
        ),
    ),
    (amount("people", 1_000, 9_000_000, "", ""), number("density", 1, 900, "", "")),
)
CORPORATE = Domain(
    "corporate",
    (
        act(
            "calculate estimate",
            "company_worth market_value firm_valuation",
            "Worth of a company by its shares",
            "what is the company worth|value the company",
            (
                amount("shares|num_shares", 10**6, 5 * 10**9, "with {} shares", "Shares it has"),
                number("price|share_price", 2, 400, "at ${} each", "Price of one", 2),
            ),
            (amount("debt|total_debt", 10**5, 10**9, "with ${} of debt", "What it owes"),),
            "A firm has {0} shares at ${1} each. What is it worth?|What is a company with {0} "
            "shares worth if one costs ${1}?",
        ),
        act(
            "calculate check",
            "debt_ratio balance_ratio liquidity_ratio",
            "Ratios of a balance sheet",
            "how healthy is the balance|check the ratios",
            (
                amount("debt|liabilities", 10**4, 10**9, "with debts of ${}", "What is owed"),
                amount("assets|total_assets", 10**5, 10**10, "assets of ${}", "What is owned"),
                amount("equity|own_capital", 10**4, 10**9, "with ${} of equity", "Own capital"),
            ),
            (_DIGITS,),
            "We owe ${0}, own ${1} and have ${2} of equity. Are we healthy?|Assets of ${1}, debts "
            "of ${0}, equity of ${2}: which ratio is that?",
        ),
        act(
            "plan compute",
            "payroll staff_costs salary_budget",
            "What the staff costs",
            "what does the staff cost|work out the payroll",
            (
                amount("employees|headcount|staff", 20, 300_000, "for {} employees", "Employees"),
                amount("salary|average_salary", 12_000, 150_000, "at ${} a year", "Average salary"),
            ),
            (
                share("bonus|bonus_rate", 2, 25, "plus {} of bonus", "Bonus"),
                share("raise|pay_rise", 1, 9, "after a rise of {}", "Rise in pay"),
                text("company", COMPANY, "at {}", "Name of the company"),
            ),
            "We have {0} employees who earn ${1} on average. What does that cost?|What do {0} "
            "people at ${1} each cost us a year?",
        ),
    ),
    (amount("result", 1_000, 9_000_000, "", ""),),
)
SAVING = Domain(
    "savings_plan",
    (
        act(
            "project calculate",
            "deposit_growth deposit_at_end account_growth",
            "What a deposit grows to",
            "what does the deposit become|project the deposit",
            (
                amount("principal|deposit|initial", 200, 900_000, "of ${}", "Sum paid in"),
                share("rate|interest_rate|annual_rate", 0.5, 12, "at {} a year", "Interest a year"),
                compounding("n|compounds_per_year|times_compounded"),
                _YEARS,
            ),
            (
                amount("monthly_deposit|contribution", 20, 2_000, "adding ${} a month", "Added"),
                share("fee|fee_rate", 0.6, 2, "less a fee of {}", "Fee"),
            ),
            "I leave ${0} in the bank for {3} at {1}, compounded {2}. What becomes of it?|What "
            "are ${0} worth after {3} at {1} a year, credited {2}?|At {1} interest, "
            "credited {2}, what do ${0} grow to in {3}?",
        ),
        act(
            "compare contrast",
            "two_accounts bank_offers account_offers",
            "Compare the interest of two accounts",
            "which account is better|compare the two offers",
            (
                amount("amount|sum|balance", 500, 200_000, "for ${}", "Sum to be saved"),
                share("rate_a|first_rate|rate1", 0.5, 8, "at {} in one bank", "Rate of the first"),
                share(
                    "rate_b|second_rate|rate2", 0.5, 8, "at {} in the other", "Rate of the second"
                ),
            ),
            (_YEARS,),
            "One bank gives {1}, the other {2}. Which is better for ${0}?|Should I take {1} or {2} "
            "for my {0} dollars?",
        ),
        act(
            "calculate evaluate",
            "fund_mix_return blended_return weighted_yield",
            "Return of a mix of funds",
            "what does the mix bring|evaluate my funds",
            (
                shares("weights|allocation|shares", 5, 60, "split {}", "Share of each fund", 2),
                shares("returns|yields|rates", 1, 20, "earning {}", "Return of each fund", 2),
            ),
            (
                amount("capital|invested", 1_000, 900_000, "with ${} in all", "Sum"),
                share("fee|costs", 0.6, 3, "at a cost of {}", "Cost of a year"),
            ),
            "My funds hold {0} of my money and earn {1}. What is the return of both?|With {0} in "
            "two funds that yield {1}, what do I get?",
        ),
        act(
            "calculate get",
            "sale_price reduced_price price_after_discount",
            "Price after a discount and tax",
            "what do I pay in the sale|work out the price",
            (
                number("price|list_price", 5, 900, "of ${}", "Price before", 2),
                share("discount|discount_rate", 5, 70, "reduced by {}", "Discount"),
                share("tax|tax_rate", 3, 25, "taxed at {}", "Tax"),
            ),
            (),
            "A coat of ${0} is reduced by {1}, and {2} of tax is added. What do I pay?|What is "
            "${0} less {1} plus {2} of tax?",
        ),
    ),
    (number("balance", 100, 90_000, "", "", 2),),
)
_SUITS = "hearts=heart,spades=spade,clubs=club,diamonds=diamond"
_FACES = "6=normal/ordinary/six-sided,8=eight-sided,10=ten-sided,20=twenty-sided"
CHANCE = Domain(
    "probability",
    (
        act(
            "calculate find",
            "dice_sum_chance chance_of_sum odds_of_dice",
            "Chance of a sum of dice",
            "how likely is the sum|what are my odds",
            (
                implied(
                    "dice|num_dice|rolls",
                    "1=one die/a single die,2=two dice/a pair of dice,3=three dice,5=five dice",
                    "with {}",
                    "How many are rolled",
                ),
                implied("sides|faces", _FACES, "of the {} kind", "Sides of each"),
                whole("target|total", 3, 30, "for a sum of {}", "Sum that is wanted"),
            ),
            (flag("at_least|or_more", "or more", "exactly that sum", "More counts too"),),
            "How likely is a sum of {2} if I roll {0} of the {1} kind?|I throw {0}, all {1}. What "
            "are the odds of {2} in total?",
        ),
        act(
            "calculate estimate",
            "coin_heads_chance chance_of_heads odds_of_coin",
            "Chance of heads when a coin is tossed",
            "how likely are the heads|estimate my odds with a coin",
            (
                counted("tosses|flips|n", 2, 40, "with {} tosses", "How often it is tossed"),
                whole("heads|successes|k", 1, 12, "for {} heads", "Heads that are wanted"),
            ),
            (share("bias|p|chance_of_one", 10, 90, "if heads come up {} of the time", "Of heads"),),
            "A coin gets {0} tosses. How likely are {1} heads?|What are the odds of {1} heads in "
            "{0} tosses?",
        ),
        act(
            "calculate find",
            "card_draw_chance chance_of_suit odds_of_card",
            "Chance to draw a card of a suit",
            "how likely is the card|what are my odds with cards",
            (
                worded("suit|card_suit", _SUITS, "of a {}", "Suit"),
                counted("draws|cards|num_cards", 2, 12, "in {} draws", "How many are drawn"),
            ),
            (
                implied(
                    "deck_size",
                    "52=full deck/standard deck,32=small deck of 32",
                    "from a {}",
                    "Cards in all",
                ),
                flag("replace|put_back", "putting each back", "keeping them out", "Put each back"),
            ),
            "How likely is a {0} if I make {1} draws?|I make {1} draws from a deck. What are the "
            "odds of a {0}?",
        ),
        act(
            "calculate estimate",
            "defect_chance chance_of_defects odds_of_failure",
            "Chance that some of many pieces are bad",
            "how likely are bad pieces|estimate the defects",
            (
                amount("pieces|n|batch_size", 20, 90_000, "of {} pieces", "How many there are"),
                whole("defects|k|bad", 1, 15, "with {} bad ones", "How many are bad"),
                share("rate|p|defect_rate", 0.5, 20, "at a rate of {}", "Chance for each"),
            ),
            (),
            "{2} of what we make is bad. How likely are {1} bad ones among {0} pieces?|Of {0} "
            "pieces, how probable is it that {1} fail, when {2} do on average?",
        ),
    ),
    (number("chance", 0, 1, "", "", 3),),
)
_DRAG = flag(
    "air_resistance|drag|include_drag",
    "with air resistance|taking the drag into account",
    "without air resistance|ignoring the drag of the air",
    "Air resistance",
)
FALLING = Domain(
    "motion",
    (
        act(
            "calculate find",
            "landing_speed speed_at_ground speed_of_fall",
            "Speed of a falling body when it lands",
            "how fast does it land|find the speed at the ground",
            (
                starting_speed("initial_velocity|v0|start_speed"),
                distance("height|drop|h", "from a height of {}", "How far it falls", "metre"),
            ),
            (_DRAG, number("gravity|g", 1, 25, "where gravity is {}", "In m/s2", 2)),
            "A stone falls {1} and starts {0}. How fast is it at the end?|Something is let go "
            "{0}, {1} above the ground. How fast does it land?",
        ),
        act(
            "calculate find",
            "speed_on_slope speed_along_track speed_of_cart",
            "Speed of a cart after some way",
            "how fast is the cart|find the speed on the track",
            (
                starting_speed("initial_speed|u|v_start"),
                number("acceleration|a", 0.2, 12, "gaining {} m/s²", "In m/s2"),
                distance("way|distance|s", "over {}", "Length of the way", "metre"),
            ),
            (_DRAG, _DIGITS),
            "A cart starts {0} and gains {1} m/s² over {2}. What is its speed?|Starting {0}, at "
            "{1} m/s², how fast is a sled after {2}?",
        ),
        act(
            "calculate predict",
            "throw_range flight_of_ball landing_point",
            "How far a ball flies",
            "how far does it fly|predict where it lands",
            (
                number("speed|v", 2, 60, "thrown at {} m/s", "Speed in m/s"),
                number("angle|launch_angle", 5, 85, "at {} degrees", "Degrees", 0),
            ),
            (_DRAG, distance("height|start_height", "from {} up", "Height at start", "metre")),
            "How far does a ball fly that leaves at {1} degrees with {0} m/s?|I throw with {0} m/s "
            "at {1} degrees. Where does it land?",
        ),
    ),
    (number("speed", 1, 90, "", "", 2),),
)


def _coefficient(name: str) -> Slot:
    return number(name, -30, 30, f"{name} = {{}}", f"Coefficient {name}", 0)


_A, _B, _C, _D = map(_coefficient, "abcd")
POLYNOMIALS = Domain(
    "algebra",
    (
        act(
            "solve compute",
            "linear_roots linear linear_equation",
            "Root of a linear equation ax + b = 0",
            "solve the linear equation with|find the root of the linear equation with",
            (_A, _B),
            (),
            "Where is {0}x + {1} zero?|Solve {0}x + {1} = 0.|Find x such that {0}x + {1} = 0.",
        ),
        act(
            "solve compute",
            "quadratic_roots quadratic quadratic_zeros",
            "Roots of a quadratic equation ax^2 + bx + c = 0",
            "solve the quadratic with|find the zeros of the quadratic with",
            (_A, _B, _C),
            (flag("complex|allow_complex", "complex ones too", "real ones only", "Complex"),),
            "Where is {0}x² + {1}x + {2} zero?|Solve {0}x^2 + {1}x + {2} = 0.|A quadratic has the "
            "coefficients {0}, {1} and {2}. What are its roots?",
        ),
        act(
            "solve compute",
            "cubic_roots cubic cubic_zeros",
            "Roots of a cubic equation ax^3 + bx^2 + cx + d = 0",
            "solve the cubic with|find the zeros of the cubic with",
            (_A, _B, _C, _D),
            (flag("complex|allow_complex", "complex ones too", "real ones only", "Complex"),),
            "Where is {0}x³ + {1}x² + {2}x + {3} zero?|Solve {0}x^3 + {1}x^2 + {2}x + {3} = 0.|A "
            "cubic has the coefficients {0}, {1}, {2} and {3}. Find its roots.",
        ),
        act(
            "evaluate compute",
            "polynomial_value polynomial value_of_polynomial",
            "Value of a polynomial of any degree at a point",
            "evaluate the polynomial|what is the value of the polynomial",
            (
                numbers("coefficients|coeffs", -12, 12, "with coefficients {}", "Highest first"),
                number("x|point|at", -15, 15, "at x = {}", "Where", 0),
            ),
            (),
            "A polynomial has the coefficients {0}. What is it at x = {1}?|Put x = {1} into the "
            "polynomial with the coefficients {0}.",
        ),
    ),
    (number("root", -20, 20, "", "", 3),),
)
MATERIALS = Domain(
    "materials",
    (
        act(
            "calculate estimate",
            "wallpaper_rolls rolls_for_wall wallpaper",
            "Rolls of wallpaper for a wall",
            "how many rolls do I need|estimate the wallpaper",
            (
                number("width|wall_width", 1, 40, "for a wall {} wide", "Width in metres"),
                number("height|wall_height", 1, 12, "{} high", "Height in metres"),
                number("roll_area|coverage", 2, 60, "with rolls for {}", "What one roll covers"),
            ),
            (
                share("waste|extra", 2, 20, "plus {} of waste", "Waste"),
                counted("doors|num_doors", 1, 8, "less {} doors", "Doors to leave out"),
            ),
            "A wall is {0} by {1} metres and a roll does {2} square metres. How many do I need?|"
            "How many rolls that cover {2} m² go on a wall {1} m high and {0} m wide?",
        ),
        act(
            "calculate estimate",
            "floor_boards boards_for_floor parquet",
            "Packs of boards for a floor",
            "how many packs do I need|estimate the boards",
            (
                number("length|room_length", 2, 30, "for a room {} long", "Length in metres"),
                number("width|room_width", 2, 30, "{} wide", "Width in metres"),
                number("pack_area|per_pack", 1, 5, "with {} m² a pack", "Area of a pack", 2),
            ),
            (number("price|pack_price", 15, 200, "at ${} a pack", "Price of a pack", 2),),
            "My room is {0} m long and {1} m wide; a pack holds {2} m². How many packs?|Boards "
            "come in packs of {2} square metres. How many for {0} by {1} metres?",
        ),
        act(
            "calculate estimate",
            "concrete_volume concrete_bags bags_of_concrete",
            "Concrete for a slab",
            "how much concrete is it|estimate the concrete",
            (
                number("length|slab_length", 1, 40, "for a slab {} long", "Length in metres"),
                number("width|slab_width", 1, 40, "{} wide", "Width in metres"),
                number("depth|thickness", 0.1, 0.9, "{} deep", "Depth in metres", 2),
            ),
            (whole("bag_weight|bag_size", 20, 60, "in bags of {} kg", "Weight of a bag in kg"),),
            "A slab should be {0} long, {1} wide and {2} deep, all in metres. How much concrete?|"
            "What goes into {0} by {1} metres at a depth of {2}?",
        ),
    ),
    (whole("packs", 1, 90, "", ""),),
)
POSITIONS = Domain(
    "positions",
    (
        act(
            "get find",
            "elevation_at height_of_position ground_level",
            "Height of the ground at a position",
            "how high is the ground|get the height",
            (position("coordinates|position|location", "at {}", "Latitude and longitude"),),
            (choice("unit", "metres feet", "in {}", "Unit"),),
            "How high is the ground at {0}?|Which height does {0} have?",
        ),
        act(
            "get find",
            "zone_at time_zone_of_position local_time_at",
            "Time zone of a position",
            "which time zone is it|get the zone",
            (
                number("latitude|lat", -80, 80, "at latitude {}", "Degrees north", 4),
                number("longitude|lon|lng", -179, 179, "longitude {}", "Degrees east", 4),
            ),
            (flag("daylight_saving|dst", "also in summer", "not in summer", "Summer time"),),
            "Which zone holds at latitude {0}, longitude {1}?|I am at {0}, {1}. What time zone is "
            "that?",
        ),
        act(
            "calculate get",
            "bearing_between course_between compass_course",
            "Course from one position to another",
            "which way do I head|get the course",
            (
                position("start|from_position|origin", "from {}", "Latitude, longitude"),
                position("end|to_position|target", "to {}", "Latitude, longitude"),
            ),
            (text("country", one_of(COUNTRIES), "within {}", "Country"),),
            "Which way is it from {0} to {1}?|A ship at {0} wants to reach {1}. Which course?",
        ),
    ),
    (number("value", 1, 900, "", ""),),
)

FIGURES = (
    DEMOGRAPHY,
    CORPORATE,
    SAVING,
    CHANCE,
    FALLING,
    POLYNOMIALS,
    MATERIALS,
    POSITIONS,
)
