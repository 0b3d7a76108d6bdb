"""Domains whose questions give several numbers of one kind, in units that are to be converted."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.quantities import (
    amount,
    distance,
    duration,
    months,
    share,
    weight,
    worded,
)
from decoding.training.synthetic.slots import choice, flag, number, numbers, text, whole
from decoding.training.synthetic.words import (
    ANIMALS,
    CITIES,
    COMPANY,
    COUNTRIES,
    MONEY_NAMES,
    POWERS,
    a_date,
    one_of,
    said_as,
)

_DIGITS = whole("decimals|precision|round_to", 1, 6, "to {} decimal places", "Decimal places")
_YEARS = whole("years|time|num_years", 1, 40, "over {} years|for {} years", "Number of years")
MOTION = Domain(
    "kinematics",
    (
        act(
            "calculate compute get",
            "final_velocity end_speed speed_after_acceleration",
            "Calculate the speed of a body at the end of an acceleration",
            "how fast is it in the end|compute the final speed",
            (
                number(
                    "initial_velocity|u|start_speed", 0, 60, "starting at {} m/s", "Speed in m/s"
                ),
                number("acceleration|a", 0.5, 12, "speeding up by {} m/s^2", "m/s2"),
                duration("time|t|duration", "for {}", "How long", "second"),
            ),
            (
                flag("in_kmh|as_kmh", "and tell me in km/h", "in m/s, not in km/h", "In km/h"),
                _DIGITS,
            ),
            "How fast is a car that starts at {0} m/s and accelerates at {1} m/s^2 for {2}?|"
            "A train moves at {0} m/s. It then speeds up by {1} m/s² during {2}. What is its "
            "speed?|"
            "What is the final velocity of an object with an initial velocity of {0} m/s after "
            "{2} at an acceleration of {1} m/s^2?|"
            "Find the speed after {2} if the acceleration is {1} and it began with {0} m/s.",
        ),
        act(
            "calculate find",
            "displacement distance_travelled stopping_distance",
            "Compute how far a body gets",
            "how far does it get|compute the way",
            (
                number("speed|velocity|v", 1, 80, "at {} m/s", "Speed in metres per second"),
                duration("time|duration|t", "within {}", "Time taken", "second minute"),
            ),
            (number("acceleration|a", 0.5, 9, "with an acceleration of {}", "In m/s2"), _DIGITS),
            "How far does a cyclist get in {1} at {0} m/s?|"
            "An object moves at a constant {0} m/s for {1}. What distance does it cover?|"
            "If I walk for {1} at a speed of {0} metres per second, how far do I come?",
        ),
        act(
            "calculate compute",
            "gravitational_force attraction weight_between_bodies",
            "Force between two masses at a distance",
            "how strongly do they attract|calculate the gravity",
            (
                weight("mass1|m1|first_mass", "of one body of {}", "Mass of the first", "kilogram"),
                weight("mass2|m2|second_mass", "and one of {}", "Mass of the second", "kilogram"),
                distance("distance|r|separation", "that are {} apart", "Distance", "metre"),
            ),
            (number("constant|g", 6.1, 6.9, "with {} as the constant", "The constant", 3),),
            "What is the force between two objects of {0} and {1} that are {2} apart?|"
            "Two bodies weigh {0} and {1}. Their distance is {2}. How strongly do they attract?|"
            "Calculate the gravitational pull at a distance of {2} between {0} and {1}.",
        ),
    ),
    (number("result", 1, 900, "", "", 2),),
)
HEAT = Domain(
    "thermodynamics",
    (
        act(
            "calculate estimate",
            "heat_energy energy_to_heat thermal_energy",
            "Energy that is needed to warm something",
            "how much energy does it take to heat it|compute the heat",
            (
                weight("mass|m", "for {}", "Mass of what is heated"),
                number("start_temperature|t1", -10, 30, "from {} degrees", "Before, in Celsius"),
                number("end_temperature|t2", 35, 100, "to {} degrees", "After, in Celsius"),
            ),
            (
                choice("substance|material", "water iron copper oil", "of {}", "What it is"),
                number("specific_heat|c", 0.4, 4.2, "with a specific heat of {}", "In J/gK", 2),
            ),
            "How much energy do I need to heat {0} from {1} to {2} degrees?|"
            "I want to bring {0} of it to {2} degrees Celsius. It is at {1} now. What does that "
            "take?|What heat warms {0} from {1}°C up to {2}°C?",
        ),
        act(
            "calculate compute",
            "ideal_gas_pressure gas_volume gas_law",
            "Pressure of an ideal gas",
            "what is the pressure of the gas|use the gas law",
            (
                number("moles|n", 0.5, 12, "for {} mol", "Amount of gas in mol"),
                number("temperature|temp_k", 220, 500, "at {} K", "Temperature in kelvin"),
                number("volume|v", 1, 60, "in {} litres", "Volume in litres"),
            ),
            (choice("unit|pressure_unit", "Pa bar atm", "in {}", "Unit of the pressure"),),
            "What is the pressure of {0} moles of a gas at {1} K in a vessel of {2} litres?|"
            "A {2} litre tank holds {0} mol of nitrogen at {1} kelvin. Which pressure is that?",
        ),
        act(
            "calculate find",
            "carnot_efficiency engine_efficiency heat_engine",
            "Efficiency of an engine between two temperatures",
            "how efficient is the engine|find the efficiency",
            (
                number("hot_temperature|t_hot", 400, 900, "from {} K", "Warmer one in kelvin"),
                number("cold_temperature|t_cold", 250, 390, "down to {} K", "Colder one in kelvin"),
            ),
            (flag("as_percent", "as a percentage", "as a fraction, not in percent", "In percent"),),
            "How efficient can an engine be between {0} K and {1} K?|"
            "The cold side has {1} kelvin and the hot one {0}. What is the best efficiency?",
        ),
    ),
    (number("result", 1, 900, "", "", 2),),
)
ELECTRICITY = Domain(
    "electromagnetism",
    (
        act(
            "calculate compute",
            "coulomb_force electric_force charge_attraction",
            "Electric force between two charges",
            "how strong is the force|compute the force of the charges",
            (
                number("charge1|q1|first_charge", 0.1, 9, "with one charge of {} C", "Coulomb", 2),
                number("charge2|q2|second_charge", 0.1, 9, "and one of {} C", "Coulomb", 2),
                distance("distance|r", "at a distance of {}", "How far apart they are", "metre"),
            ),
            (choice("medium", "vacuum air water glass", "in {}", "What is between them"),),
            "What is the force between a charge of {0} C and a charge of {1} C, {2} apart?|"
            "Two charges of {0} and {1} coulombs are {2} away from each other. How strong is the "
            "force?|At a distance of {2}: how do {0} C and {1} C act on each other?",
        ),
        act(
            "calculate get",
            "magnetic_field wire_field flux",
            "Magnetic field around a wire",
            "how strong is the field|compute the field",
            (
                number("current|i", 0.5, 40, "for a current of {} A", "Current in ampere"),
                distance("distance|radius|r", "at {} from it", "Distance from the wire", "metre"),
            ),
            (number("permeability|mu", 1, 2, "with a permeability of {}", "Permeability", 2),),
            "How strong is the magnetic field {1} away from a wire that carries {0} amperes?|"
            "A cable conducts {0} A. Which field do I measure at a distance of {1}?",
        ),
        act(
            "calculate estimate",
            "power_consumption electricity_cost energy_use",
            "What a device uses",
            "how much does it use|what does the device cost me",
            (
                number("power|watts|wattage", 5, 3000, "at {} watts", "Power in watts", 0),
                duration("usage|daily_use", "used {} a day", "Use a day", "minute"),
            ),
            (
                number("price|price_per_kwh", 0.1, 0.6, "at {} per kWh", "Price of a kWh", 2),
                whole("days|num_days", 2, 60, "for {} days", "How many days"),
            ),
            "What does a heater of {0} W use if it runs {1} a day?|"
            "My lamp has {0} watts and is on for {1} every day. How much energy is that?",
        ),
    ),
    (number("result", 1, 900, "", "", 2),),
)
INVESTING = Domain(
    "investment",
    (
        act(
            "calculate compute project",
            "compound_growth future_value investment_value",
            "Value of an investment after some years of compound interest",
            "what is my money worth later|calculate the future value",
            (
                amount("principal|initial_investment|present_value", 500, 900000, "of {}", "Sum"),
                share("rate|annual_rate|interest_rate", 1, 15, "at {} a year", "Interest rate"),
                _YEARS,
            ),
            (
                whole("compounds|times_per_year|n", 1, 12, "paid {} times a year", "Times a year"),
                amount("contribution|yearly_deposit", 100, 9000, "adding {} a year", "Added"),
                worded(
                    "frequency|compounding",
                    "annually=every year/yearly,monthly=each month/monthly,daily=every day/daily",
                    "with interest paid {}",
                    "How often interest is paid",
                ),
            ),
            "What will ${0} be worth in {2} years at an interest rate of {1}?|"
            "I invest {0} dollars at {1} per year. How much do I have after {2} years?|"
            "Predict the value of an investment of {0} euros with a return of {1} in {2} years.|"
            "If my account pays {1} and I put ${0} into it, what is there {2} years later?",
        ),
        act(
            "calculate determine",
            "simple_interest interest_due loan_interest",
            "Simple interest on a sum",
            "how much interest is it|calculate the interest",
            (
                amount("amount|principal|loan", 500, 500000, "on {}", "Sum that is lent"),
                share("rate|interest", 1, 20, "at {}", "Rate of interest a year"),
                months("term|duration", "for {}", "Time of the loan", "month"),
            ),
            (),
            "How much interest do I pay on {0} dollars at {1} for {2}?|"
            "A loan of {0} runs {2} with a rate of {1}. What is the interest?",
        ),
        act(
            "calculate get analyze",
            "return_on_equity profit_margin dividend_payout",
            "A ratio of the figures of a company",
            "how profitable is the company|calculate the ratio",
            (
                amount("net_income|profit", 20000, 9000000, "with a profit of {}", "Profit"),
                amount("equity|shareholder_equity", 90000, 50000000, "and {} of equity", "Equity"),
            ),
            (
                amount(
                    "dividends|dividends_paid", 5000, 900000, "after dividends of {}", "Paid out"
                ),
            ),
            "What is the return of a company with a net income of ${0} and equity of ${1}?|"
            "The firm earned {0} and its shareholders hold {1}. How profitable is that?|"
            "With {1} in equity and {0} in profit, which ratio results?",
        ),
        act(
            "convert exchange",
            "currency_amount money foreign_currency",
            "Convert an amount of money into another currency",
            "exchange money|convert an amount",
            (
                amount("amount|value|sum", 20, 90000, "of {}", "How much"),
                text(
                    "from_currency|base|base_currency", said_as(MONEY_NAMES), "{}", "Code, as USD"
                ),
                text("to_currency|target|target_currency", said_as(MONEY_NAMES), "to {}", "Code"),
            ),
            (text("date", a_date, "at the rate of {}", "Day of the rate, YYYY-MM-DD"),),
            "How much is {0} {1} in {2}?|Convert {0} {1} to {2}.|What do I get in {2} for {0} "
            "{1}?|I have {0} {1} and need {2}. How much will it be?",
        ),
    ),
    (number("result", 100, 90000, "", "", 2),),
)
TAXES = Domain(
    "tax",
    (
        act(
            "calculate estimate",
            "income_tax tax_due yearly_tax",
            "Tax on an income",
            "what do I owe|calculate my tax",
            (
                amount("income|annual_income|salary", 15000, 300000, "on {}", "Income of a year"),
                text("country|jurisdiction", one_of(COUNTRIES), "in {}", "Country"),
            ),
            (
                share("rate|tax_rate", 5, 45, "at a rate of {}", "Rate of the tax"),
                whole("year|tax_year", 2010, 2025, "for {}", "Year"),
                worded(
                    "status|filing_status",
                    "single=unmarried/single,married=with my wife/with my husband/as a couple",
                    "filed {}",
                    "Who files",
                ),
            ),
            "How much tax does somebody in {1} pay who earns {0} a year?|"
            "I make {0} in {1}. What is my tax?|What would the tax be in {1} for {0}?",
        ),
        act(
            "calculate add",
            "sales_tax vat price_with_tax",
            "Tax on a purchase",
            "what does it cost with tax|add the tax",
            (
                number("price|amount|net_price", 5, 900, "on {}", "Price before tax", 2),
                share("rate|tax_rate|vat_rate", 4, 25, "at {}", "Rate of the tax"),
            ),
            (flag("round|rounded", "rounded", "not rounded", "Round the result"),),
            "What is the price with tax of something that costs ${0} at a rate of {1}?|"
            "Add {1} of VAT to {0} euros.|The net price is {0} and the tax {1}. What do I pay?",
        ),
        act(
            "split share calculate",
            "restaurant_bill tip bill_with_tip",
            "Divide a bill and its tip",
            "divide the bill|how much is it for each",
            (
                number("total|bill|amount", 20, 400, "of {}", "Sum of the bill", 2),
                whole("people|num_people|diners", 2, 12, "among {} people", "Who pays"),
            ),
            (share("tip|tip_rate", 5, 25, "with a tip of {}", "Tip"),),
            "We are {1} and the bill is ${0}. What does each pay?|"
            "Split {0} euros between {1} friends.|A dinner for {1} people cost {0}, what is my "
            "share?",
        ),
    ),
    (number("result", 10, 9000, "", "", 2),),
)
EQUATIONS = Domain(
    "calculus",
    (
        act(
            "calculate compute find",
            "derivative slope_of_function differentiate_function",
            "Derivative of a function at a point",
            "differentiate it|find the slope",
            (
                text("function|expression", POWERS, "of {}", "The function in Python syntax"),
                number("point|x|value", -9, 20, "at x = {}", "Where", 0),
            ),
            (text("variable", one_of(["x", "y", "t"]), "by {}", "Name of the variable"),),
            "What is the derivative of f(x) = {0} at x = {1}?|"
            "How steep is {0} where x is {1}?|Differentiate {0} and evaluate it at {1}.",
        ),
        act(
            "calculate integrate",
            "definite_integral area_under_curve integral",
            "Integral of a function between two ends",
            "integrate it|find the area under the curve",
            (
                text("function|expression|f", POWERS, "of {}", "The function in Python syntax"),
                number("lower|a|start", -9, 3, "from {}", "Lower end", 0),
                number("upper|b|end", 4, 20, "to {}", "Upper end", 0),
            ),
            (
                choice("method", "trapezoid simpson midpoint", "by the {} rule", "Method"),
                whole("steps|intervals", 10, 900, "in {} steps", "Number of intervals"),
            ),
            "What is the area under {0} between {1} and {2}?|"
            "Integrate {0} from x = {1} to x = {2}.|Find the integral of {0} from {1} to {2}.",
        ),
        act(
            "calculate find get",
            "greatest_common_divisor least_common_multiple common_factors",
            "Common divisors and multiples of two numbers",
            "what do the numbers have in common|find the common divisor",
            (
                whole("a|first|num1|number1", 2, 900, "of {}", "First number"),
                whole("b|second|num2|number2", 2, 900, "and {}", "Second number"),
            ),
            (flag("show_steps", "and show the way", "without the way", "Show the way"),),
            "What is the greatest common divisor of {0} and {1}?|Which factors do {0} and {1} "
            "share?|Find the smallest multiple of both {0} and {1}.",
        ),
        act(
            "analyze sort summarize",
            "number_list series values",
            "Describe or order a list of numbers",
            "what about these numbers|work on the list",
            (numbers("numbers|values|data|list", 1, 200, "{}", "The numbers"),),
            (
                worded(
                    "order|direction",
                    "ascending=smallest first/from small to large,descending=largest first",
                    "with the {}",
                    "How they are ordered",
                ),
                _DIGITS,
            ),
            "What is the mean of {0}?|Put these in order: {0}.|I measured {0}. Describe the data.",
        ),
    ),
    (number("result", -20, 900, "", "", 2),),
)
ECOLOGY = Domain(
    "ecology",
    (
        act(
            "calculate predict estimate",
            "population_growth population_size future_population",
            "Size of a population after some time",
            "how many will there be|predict the population",
            (
                amount("initial|current_population|start", 100, 9000000, "from {}", "Now"),
                share("growth_rate|rate", 1, 12, "growing by {} a year", "Growth a year"),
                _YEARS,
            ),
            (text("species", one_of(ANIMALS), "of the {}", "Which animal"),),
            "A population of {0} grows by {1} each year. How large is it after {2} years?|"
            "How many people live there in {2} years if there are {0} now and the growth is {1}?|"
            "With a growth rate of {1}, what becomes of {0} animals in {2} years?",
        ),
        act(
            "estimate calculate",
            "carbon_footprint emissions travel_emissions",
            "Emissions of a journey",
            "how much carbon is it|estimate the emissions",
            (
                distance("distance|trip_length", "for {}", "Length of the way", "kilometre"),
                choice("vehicle|mode|transport", "car train bus plane", "by {}", "How one goes"),
            ),
            (
                whole("passengers|people", 2, 9, "with {} people", "How many go"),
                worded(
                    "fuel", "petrol=petrol/gasoline,diesel,electric=electricity", "on {}", "Fuel"
                ),
            ),
            "How much CO2 does a journey of {0} by {1} cause?|I go {0} by {1}. What does that mean "
            "for the climate?|What are the emissions of {0} in a {1}?",
        ),
        act(
            "get track list",
            "endangered_species wildlife_count animal_sightings",
            "Where and how many animals were seen",
            "how many of them are left|where does it live",
            (
                text("species|animal", one_of(ANIMALS), "for the {}", "Animal"),
                text("country|region", one_of(COUNTRIES), "in {}", "Where"),
            ),
            (whole("year|since", 1980, 2025, "since {}", "First year"),),
            "How many animals of the species {0} live in {1}?|"
            "Is the {0} still found in {1}?|Show where in {1} the {0} was seen.",
        ),
    ),
    (number("result", 10, 90000, "", "", 0), text("city", one_of(CITIES), "", "")),
)
BUSINESS = Domain(
    "business",
    (
        act(
            "get find compare",
            "company_revenue earnings market_share",
            "Figures of a company in a quarter",
            "how does the company do|get the figures",
            (
                text("company|company_name", COMPANY, "of {}", "Name of the company"),
                whole("year|fiscal_year", 2005, 2025, "in {}", "Year"),
            ),
            (
                worded(
                    "quarter",
                    "Q1=first quarter,Q2=second quarter,Q3=third quarter,Q4=last quarter",
                    "in the {}",
                    "Quarter",
                ),
                text("currency", said_as(MONEY_NAMES), "in {}", "Code of the currency"),
            ),
            "What did {0} earn in {1}?|How large was the market share of {0} in {1}?|"
            "I would like to know the revenue in {1} of {0}.|How is {0} doing in {1}?",
        ),
        act(
            "calculate evaluate",
            "break_even_point units_to_sell cost_coverage",
            "How many units have to be sold",
            "when do I make a profit|calculate the break-even point",
            (
                amount("fixed_costs|fixed_cost", 1000, 900000, "with {} of fixed costs", "Costs"),
                number("unit_price|price", 5, 90, "at a price of {}", "Price of a unit", 2),
                number(
                    "unit_cost|variable_cost", 1, 4, "and a cost of {} each", "Cost of a unit", 2
                ),
            ),
            (),
            "My fixed costs are {0}, I sell for {1} and each piece costs me {2}. When do I break "
            "even?|How many units at {1} must I sell to cover {0} if one costs {2}?",
        ),
        act(
            "forecast predict",
            "sales demand revenue_growth",
            "Sales in the time to come",
            "how will it sell|predict the sales",
            (
                text(
                    "product|product_line",
                    one_of(["coats", "lamps", "tents", "desks"]),
                    "of {}",
                    "What",
                ),
                months("horizon|period", "for the next {}", "How far ahead", "month"),
            ),
            (
                share("growth|trend", 1, 30, "growing by {}", "Growth a year"),
                text("region|country", one_of(COUNTRIES), "in {}", "Where"),
            ),
            "How many {0} will we sell in the next {1}?|Forecast our {0} for {1}.|"
            "What demand for {0} is to be expected over {1}?",
        ),
    ),
    (number("result", 100, 90000, "", "", 2),),
)

CALCULATIONS = (
    MOTION,
    HEAT,
    ELECTRICITY,
    INVESTING,
    TAXES,
    EQUATIONS,
    ECOLOGY,
    BUSINESS,
)
