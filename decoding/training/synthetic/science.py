"""Domains of science."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.slots import choice, flag, number, numbers, text, whole
from decoding.training.synthetic.words import (
    ANIMALS,
    COUNTRIES,
    ELEMENTS,
    FORMULAS,
    FUNCTION,
    PLANTS,
    SEQUENCE,
    one_of,
)

_DIGITS = whole("precision|decimals|digits", 1, 8, "to {} decimal places", "Decimal places")
_FORMAT = choice("format|output_format", "short table detailed", "in a {} form", "Form of output")
_DETAIL = flag("detailed|show_steps", "with all the steps", "without the steps", "Show the steps")

GEOMETRY = Domain(
    "geometry",
    (
        act(
            "calculate compute find",
            "triangle_area rectangle_perimeter trapezoid_area",
            "Size of a plane figure",
            "calculate the size of the figure|work out the figure",
            (
                number("base|width|side_a", 2, 90, "with a base of {}", "Length of the base"),
                number("height|side_b", 2, 90, "with a height of {}", "Height"),
            ),
            (choice("unit|units", "cm m mm inches", "in {}", "Unit of length"), _DIGITS),
        ),
        act(
            "calculate compute",
            "circle_area sphere_volume cylinder_volume circumference",
            "Size of a round body",
            "compute the round shape|how big is the round shape",
            (number("radius|r", 1, 70, "with a radius of {}", "Radius"),),
            (
                number("height|h", 1, 60, "with a height of {}", "Height"),
                choice("unit", "cm m km feet", "measured in {}", "Unit of length"),
                _DIGITS,
            ),
        ),
        act(
            "measure get",
            "point_distance midpoint line_slope",
            "Relation of two points",
            "measure between two points|take the two points",
            (
                numbers("point1|point_a|p1", -20, 40, "the first at {}", "Coordinates", size=2),
                numbers("point2|point_b|p2", -20, 40, "the second at {}", "Coordinates", size=2),
            ),
            (choice("metric", "euclidean manhattan", "by the {} metric", "Metric"),),
        ),
    ),
    (number("result", 2, 900, "", "", 2),),
)
ALGEBRA = Domain(
    "math",
    (
        act(
            "compute calculate get",
            "factorial prime_factors digit_sum divisors square_root",
            "A property of a whole number",
            "do the number theory|examine the integer",
            (whole("number|n|value", 3, 900, "for {}", "The number"),),
            (_DETAIL, _FORMAT),
        ),
        act(
            "solve find",
            "quadratic_equation roots polynomial",
            "Solve an equation",
            "solve the equation|find the solutions",
            (
                whole("a", 1, 12, "with a = {}", "Factor of x squared"),
                whole("b", -20, 20, "b = {}", "Factor of x"),
                whole("c", -30, 30, "c = {}", "Constant"),
            ),
            (choice("root_type", "real complex all", "looking for {} roots", "Roots"), _DIGITS),
        ),
        act(
            "differentiate integrate evaluate",
            "function expression formula",
            "Calculus on a function",
            "work on the function|do the calculus",
            (text("function|expression|formula", FUNCTION, "for {}", "Function of x"),),
            (
                number("lower|start|x_min", 0, 9, "starting at x = {}", "Lower end"),
                number("upper|end|x_max", 10, 30, "ending at x = {}", "Upper end"),
                choice("method", "exact trapezoid simpson", "by the {} method", "Method"),
            ),
        ),
        act(
            "multiply add transform",
            "matrix vector vectors",
            "Work on vectors",
            "combine the vectors|calculate with the vectors",
            (
                numbers("first|vector_a|left", -9, 20, "taking {} first", "First vector", size=3),
                numbers("second|vector_b|right", -9, 20, "and then {}", "Second vector", size=3),
            ),
            (_DIGITS,),
        ),
    ),
    (number("result", -20, 900, "", "", 2),),
)
PHYSICS = Domain(
    "physics",
    (
        act(
            "calculate compute",
            "kinetic_energy momentum force",
            "Mechanics of a body",
            "calculate the mechanics|work it out for a body",
            (
                number("mass|mass_kg|m", 1, 200, "with a mass of {} kg", "Mass in kg"),
                number("velocity|speed|v", 1, 90, "moving at {} m/s", "Speed in m/s"),
            ),
            (
                number("friction|drag", 0.1, 0.9, "with a friction of {}", "Coefficient", 2),
                choice("unit|output_unit", "joule newton kwh", "in {}", "Unit"),
                _DIGITS,
            ),
        ),
        act(
            "simulate compute predict",
            "free_fall projectile pendulum",
            "Motion under gravity",
            "how does it fall|simulate the motion",
            (
                number("height|initial_height", 2, 300, "from {} metres", "Height in m"),
                number("angle|launch_angle", 5, 85, "at an angle of {} degrees", "Degrees"),
            ),
            (
                number("gravity|g", 1.5, 25, "with a gravity of {} m/s2", "Gravity", 2),
                flag("air_resistance", "with air resistance", "in a vacuum", "Drag of the air"),
            ),
        ),
        act(
            "calculate get",
            "circuit_current resistance voltage_drop",
            "Electric circuit",
            "calculate the circuit|what happens in the circuit",
            (
                number("voltage|volts", 1.5, 400, "at {} volts", "Voltage"),
                numbers("resistors|resistances", 10, 900, "with resistors of {} ohms", "Ohms"),
            ),
            (choice("wiring", "series parallel", "wired in {}", "Wiring"),),
        ),
    ),
    (number("result", 2, 900, "", "", 2), choice("unit", "joule newton ampere", "", "")),
)
STATISTICS = Domain(
    "statistics",
    (
        act(
            "calculate compute get",
            "mean median standard_deviation variance",
            "Describe numbers",
            "describe the numbers|calculate the statistics|sum up the sample",
            (numbers("data|values|numbers", 1, 200, "of {}", "The numbers", 1),),
            (_DIGITS, flag("sample|is_sample", "as a sample", "as a population", "A sample")),
        ),
        act(
            "run perform",
            "regression t_test correlation",
            "Compare two series",
            "compare the two series|test the two samples",
            (
                numbers("x|group_a|first", 1, 90, "the first being {}", "First series", size=4),
                numbers("y|group_b|second", 1, 90, "the second being {}", "Second series", size=4),
            ),
            (
                number("alpha|significance", 0.01, 0.2, "at a level of {}", "Level", 2),
                choice("alternative", "two_sided less greater", "{} alternative", "Hypothesis"),
            ),
        ),
        act(
            "compute estimate",
            "binomial_probability normal_probability confidence_interval",
            "A probability, or the chance of a result",
            "what is the probability|compute the odds",
            (
                whole("trials|n", 5, 200, "for {} trials", "Number of trials"),
                number("probability|p", 0.05, 0.95, "with a chance of {}", "0 to 1", 2),
            ),
            (whole("successes|k", 1, 5, "and {} successes", "Successes"), _DIGITS),
        ),
    ),
    (number("result", 1, 90, "", "", 3),),
)
CHEMISTRY = Domain(
    "chemistry",
    (
        act(
            "get lookup find",
            "element_data atomic_weight boiling_point melting_point",
            "Facts on an element",
            "look up the element|what do we know of the element",
            (text("element|element_name", one_of(ELEMENTS), "{}", "Name of the element"),),
            (
                choice("unit|scale", "celsius kelvin fahrenheit", "in {}", "Scale"),
                flag("isotopes", "with the isotopes", "without isotopes", "List the isotopes"),
            ),
        ),
        act(
            "calculate compute balance",
            "molar_mass molecular_weight reaction",
            "Mass of a compound",
            "do the chemistry of the compound|calculate the compound",
            (text("formula|compound", one_of(FORMULAS), "{}", "Chemical formula"),),
            (number("grams|mass_g", 1, 500, "for {} grams", "Mass in grams"), _DIGITS),
        ),
        act(
            "calculate prepare",
            "dilution solution_concentration buffer_ph",
            "Prepare a solution",
            "prepare a solution|calculate the solution",
            (
                text("solute|substance", one_of(FORMULAS), "of {}", "What is dissolved"),
                number("concentration|molarity", 0.1, 6, "at {} mol per litre", "mol/l", 2),
                number("volume|volume_ml", 10, 900, "making {} ml", "Volume in ml"),
            ),
            (number("temperature", 4, 90, "at {} degrees", "Degrees Celsius"),),
        ),
    ),
    (number("value", 1, 400, "", "", 2), choice("unit", "g_per_mol kelvin celsius", "", "")),
)
BIOLOGY = Domain(
    "biology",
    (
        act(
            "get find describe",
            "species animal_facts habitat",
            "Facts on an animal",
            "tell me about an animal|describe the species",
            (text("species|animal|name", one_of(ANIMALS), "called {}", "Common name"),),
            (
                choice("topic|aspect", "diet habitat lifespan size", "and its {}", "What about it"),
                text("region", one_of(COUNTRIES), "as found in {}", "Region"),
            ),
        ),
        act(
            "analyze translate transcribe",
            "dna_sequence gene protein",
            "Analyse a sequence of DNA",
            "analyze the sequence|look at the DNA",
            (text("sequence|dna", SEQUENCE, "{}", "Letters A, C, G and T"),),
            (
                choice("direction|strand", "forward reverse", "on the {} strand", "Strand"),
                whole("frame|offset", 1, 3, "in reading frame {}", "Reading frame"),
            ),
        ),
        act(
            "identify water",
            "plant garden_plant flower",
            "Care for a plant",
            "what does the plant need|look after the plant",
            (text("plant|plant_name", one_of(PLANTS), "(a {})", "Plant"),),
            (
                number("litres|water_litres", 0.2, 5, "with {} litres of water", "Water", 1),
                choice("light", "shade half_shade sun", "standing in {}", "Light"),
            ),
        ),
    ),
    (text("species", one_of(ANIMALS), "", ""), whole("lifespan_years", 2, 80, "", "")),
)

SCIENCE = (
    GEOMETRY,
    ALGEBRA,
    PHYSICS,
    STATISTICS,
    CHEMISTRY,
    BIOLOGY,
)
