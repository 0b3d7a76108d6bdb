"""Words that the synthetic tool calls are about; a maker draws a value and how people say it."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from random import Random

Maker = Callable[[Random], tuple[str, str]]
"""Draws (the value in the arguments, its wording in the question)."""


def by_space(words: str) -> list[str]:
    return words.split()


def by_comma(words: str) -> list[str]:
    return words.split(",")


def by_bar(words: str) -> list[str]:
    return words.split("|")


_SMALL = by_space(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TENS = by_space("twenty thirty forty fifty sixty seventy eighty ninety")

FIRST_NAMES = by_space(
    "Aaliyah Adam Aisha Alba Amara Amina Anders Anika Anton Aria Astrid Beatriz Ben Bianca Bruno "
    "Camila Carlos Carmen Cedric Chen Chiara Clara Daniel Daria David Deepa Diego Dmitri Edith "
    "Elena Elias Emeka Emil Emma Eva Farah Felix Fiona Frida Gabriel Giulia Grace Hana Hannah "
    "Hassan Hugo Ibrahim Ida Ines Ingrid Irina Isaac Ivan Jakob Jamal Jana Jonas Julia Kai Karim "
    "Katya Kenji Kofi Lars Layla Lea Leo Lina Linh Lucas Luisa Maja Malik Marco Maria Marta "
    "Mateo Maya Mei Milan Mira Mohammed Nadia Naomi Nils Nina Noah Nora Olga Oliver Omar Oscar "
    "Paolo Petra Pierre Priya Rafael Ravi Rosa Ruth Samira Samuel Sara Sofia Stefan Suki Tariq "
    "Tessa Theo Thomas Tomás Ursula Valeria Victor Wei Yara Yuki Yusuf Zara Zoë"
)
SURNAMES = by_space(
    "Abbott Adeyemi Almeida Andersen Bakker Becker Bianchi Brandt Castillo Chowdhury Costa "
    "Dubois Eriksson Fernandes Fischer Gallagher Garcia Haddad Hansen Hayashi Hoffmann Huang "
    "Ivanova Jensen Kaplan Keller Khan Kowalski Kumar Laurent Lindgren Lopez Marino Mbeki Mehta "
    "Meyer Moreau Müller Murphy Nakamura Nguyen Novak Okafor Olsen Ortega Park Patel Petrov "
    "Quinn Ramos Reyes Rossi Santos Schmidt Silva Singh Sorensen Suzuki Tanaka Torres Vargas "
    "Vogel Weber Wilson Yamamoto Yilmaz Zhang Zimmermann"
)
CITIES = by_comma(
    "Aarhus,Abuja,Accra,Adelaide,Amman,Amsterdam,Ankara,Antwerp,Athens,Atlanta,Auckland,Austin,"
    "Baku,Baltimore,Bangalore,Bangkok,Barcelona,Basel,Belfast,Belgrade,Bergen,Berlin,Bern,Bilbao,"
    "Bogotá,Bologna,Bordeaux,Boston,Bratislava,Brisbane,Bristol,Brno,Brussels,Bucharest,Budapest,"
    "Buenos Aires,Cairo,Calgary,Cape Town,Cardiff,Casablanca,Chennai,Chicago,Cologne,Colombo,"
    "Copenhagen,Cork,Dakar,Dallas,Delhi,Denver,Detroit,Doha,Dresden,Dubai,Dublin,Durban,"
    "Edinburgh,Florence,Frankfurt,Fukuoka,Gdansk,Geneva,Genoa,Ghent,Glasgow,Gothenburg,Granada,"
    "Graz,Hamburg,Hanoi,Havana,Helsinki,Hong Kong,Honolulu,Houston,Innsbruck,Istanbul,Jakarta,"
    "Jerusalem,Johannesburg,Kampala,Karachi,Kathmandu,Kigali,Kingston,Krakow,Kuala Lumpur,Kyiv,"
    "Kyoto,Lagos,Lahore,Las Vegas,Leeds,Leipzig,Lille,Lima,Lisbon,Liverpool,Ljubljana,London,"
    "Los Angeles,Lyon,Madrid,Málaga,Malmö,Manchester,Manila,Marrakesh,Marseille,Melbourne,"
    "Memphis,Mexico City,Miami,Milan,Minneapolis,Montevideo,Montreal,Mumbai,Munich,Nairobi,"
    "Nantes,Naples,Nashville,New Orleans,New York,Nice,Nuremberg,Odesa,Osaka,Oslo,Ottawa,Palermo,"
    "Panama City,Paris,Perth,Philadelphia,Phoenix,Pittsburgh,Portland,Porto,Prague,Pune,Quebec,"
    "Quito,Reykjavik,Riga,Rio de Janeiro,Riyadh,Rome,Rotterdam,Salzburg,San Diego,San Francisco,"
    "Santiago,São Paulo,Sarajevo,Seattle,Seoul,Seville,Shanghai,Singapore,Sofia,Split,Stockholm,"
    "Strasbourg,Stuttgart,Sydney,Taipei,Tallinn,Tampa,Tbilisi,Tokyo,Toronto,Trieste,Tunis,Turin,"
    "Utrecht,Valencia,Vancouver,Venice,Vienna,Vilnius,Warsaw,Wellington,Zagreb,Zürich"
)
COUNTRIES = by_comma(
    "Argentina,Australia,Austria,Belgium,Brazil,Canada,Chile,China,Colombia,Croatia,Denmark,"
    "Egypt,Estonia,Finland,France,Germany,Ghana,Greece,Hungary,Iceland,India,Indonesia,Ireland,"
    "Italy,Japan,Kenya,Latvia,Malaysia,Mexico,Morocco,Nepal,New Zealand,Nigeria,Norway,Peru,"
    "Poland,Portugal,Romania,Senegal,Serbia,Slovenia,South Africa,South Korea,Spain,Sweden,"
    "Switzerland,Thailand,Tunisia,Turkey,Ukraine,Uruguay,Vietnam"
)
LANGUAGES = by_space(
    "Arabic Bengali Czech Danish Dutch English Finnish French German Greek Hebrew Hindi "
    "Hungarian Italian Japanese Korean Norwegian Polish Portuguese Romanian Russian Spanish "
    "Swahili Swedish Thai Turkish Ukrainian Vietnamese"
)
CURRENCIES = by_space("USD EUR GBP JPY CHF SEK NOK DKK PLN CAD AUD INR BRL MXN ZAR TRY CNY KRW")
CUISINES = by_space(
    "Ethiopian French Georgian Greek Indian Italian Japanese Korean Lebanese Mexican Moroccan "
    "Peruvian Portuguese Spanish Thai Turkish Vietnamese vegan vegetarian"
)
FOODS = by_comma(
    "almonds,apples,apricots,aubergines,basil,beetroot,black beans,broccoli,brown rice,butter,"
    "carrots,cauliflower,cheddar,chicken breast,chickpeas,chocolate,cod,courgettes,couscous,"
    "cream,cucumbers,eggs,feta,flour,garlic,ginger,green lentils,honey,kale,lamb,leeks,lemons,"
    "mangoes,mushrooms,mustard,noodles,oats,olive oil,onions,oranges,parsley,pasta,peanuts,peas,"
    "peppers,pork,potatoes,prawns,pumpkin,quinoa,raspberries,red cabbage,salmon,spinach,"
    "strawberries,sweet potatoes,tofu,tomatoes,tuna,walnuts,yoghurt"
)
DISHES = by_comma(
    "apple pie,banana bread,beef stew,borscht,carrot cake,chicken curry,chili,fish soup,"
    "fried rice,gnocchi,goulash,lasagne,lemon tart,lentil soup,minestrone,moussaka,"
    "mushroom risotto,onion soup,paella,pad thai,pancakes,pea soup,pumpkin soup,quiche,ramen,"
    "ratatouille,shakshuka,shepherd's pie,spinach pie,tomato soup,vegetable curry"
)
_ADJECTIVES = by_space(
    "amber ancient bitter blue bright broken burning calm cold crimson distant early empty "
    "endless fading final first forgotten frozen gentle golden green hidden hollow last little "
    "lonely long lost narrow northern old open pale quiet red restless rising scarlet second "
    "secret silent silver sleeping slow small southern stolen strange sudden tender thin twisted "
    "velvet wandering white wild winter wooden"
)
_THINGS = by_space(
    "bridge candle castle circle city clock coast compass corner crown dancer desert door dream "
    "engine field fire forest garden gate ghost harbour hill horizon horse house island journey "
    "kingdom lake lantern letter library light machine map mirror moon morning mountain night "
    "ocean orchard painter path pilot promise rain river road room sailor sea shadow signal sky "
    "snow song spring star stone storm summer tower traveller valley village voice wall water "
    "wind window"
)
PRODUCTS = by_comma(
    "backpack,bedside lamp,bicycle pump,blender,bookshelf,camera,coat,coffee grinder,"
    "cutting board,desk,desk lamp,electric kettle,fan,frying pan,garden hose,gloves,hammer,"
    "headphones,hiking boots,jacket,keyboard,kitchen scale,laptop stand,mattress,microphone,"
    "monitor,mouse,notebook,office chair,pillow,printer,rain jacket,rug,running shoes,saucepan,"
    "scarf,screwdriver,sleeping bag,sofa,speaker,suitcase,sunglasses,sweater,tablet,teapot,tent,"
    "toaster,toolbox,towel,umbrella,vacuum cleaner,vase,wall clock,water bottle,webcam,yoga mat"
)
COLOURS = by_space(
    "beige black blue brown green grey orange pink purple red silver turquoise white"
)
_COMPANY_HEADS = by_space(
    "Acorn Alder Anchor Bluefield Brightwater Cedar Clearview Copperline Crestwood Dunmore "
    "Eastgate Fairhaven Foxglove Granite Greenleaf Harborview Ironbridge Juniper Kestrel "
    "Larkspur Lighthouse Meridian Millstone Northwind Oakridge Pinecrest Quayside Redwood "
    "Riverside Silverline Stonebrook Sunridge Thornbury Westfield Willow"
)
_COMPANY_TAILS = by_comma(
    "Analytics,Bank,Consulting,Energy,Foods,Group,Industries,Labs,Ltd,Logistics,Media,Motors,"
    "Partners,Software,Systems,Textiles"
)
SYMBOLS = by_space(
    "ALDR ANKR BLUF BRWT CEDR CLRV CPLN CRST DNMR EGTE FHVN FXGL GRNT GRLF HBVW IRBG JNPR KSTL "
    "LRKS LTHS MRDN MLST NWND OKRG PNCR QYSD RDWD RVSD SLVL STNB SNRG THRN WSTF WLLW"
)
ANIMALS = by_comma(
    "badger,barn owl,beaver,blue whale,brown bear,cheetah,cormorant,dolphin,elephant,"
    "emperor penguin,fox,giraffe,golden eagle,gorilla,grey seal,hedgehog,honey bee,kangaroo,"
    "koala,leopard,lynx,monarch butterfly,octopus,orangutan,otter,panda,polar bear,puffin,raven,"
    "red deer,sea turtle,snow leopard,sperm whale,squirrel,tiger,wolf,zebra"
)
PLANTS = by_space(
    "ash basil bamboo birch cactus daffodil fern hawthorn ivy lavender lily maple mint oak "
    "orchid rosemary sage sunflower thyme tulip willow"
)
PETS = by_space(
    "Bella Biscuit Bobby Charlie Daisy Ginger Loki Luna Max Milo Nala Pepper Rocky Simba"
)
ELEMENTS = by_space(
    "aluminium argon barium calcium carbon chlorine chromium cobalt copper gold helium hydrogen "
    "iodine iron lead lithium magnesium manganese mercury neon nickel nitrogen oxygen phosphorus "
    "platinum potassium silicon silver sodium sulfur tin titanium tungsten uranium xenon zinc"
)
FORMULAS = by_space(
    "H2O CO2 NaCl C6H12O6 H2SO4 NH3 CaCO3 C2H5OH HNO3 CH4 KMnO4 Fe2O3 MgO Al2O3 NaOH HCl "
    "C8H10N4O2 AgNO3 C3H8 CuSO4 NaHCO3 H2O2 KCl C6H6 SO2"
)
DRUGS = by_space(
    "amlodipine amoxicillin aspirin atorvastatin cetirizine diclofenac doxycycline ibuprofen "
    "insulin lisinopril loratadine metformin naproxen omeprazole paracetamol prednisone "
    "salbutamol warfarin"
)
SYMPTOMS = by_comma(
    "back pain,blurred vision,chest pain,cough,dizziness,earache,fatigue,fever,headache,"
    "joint pain,loss of appetite,nausea,rash,runny nose,shortness of breath,sore throat,"
    "stomach ache,swollen ankles"
)
SPORTS = by_comma(
    "badminton,basketball,cricket,cycling,football,handball,ice hockey,judo,rowing,rugby,running,"
    "skiing,squash,swimming,table tennis,tennis,volleyball"
)
_TEAMS = by_space(
    "Bears Comets Dragons Eagles Falcons Giants Hawks Hornets Knights Lions Lynx Mariners "
    "Pioneers Rangers Ravens Rockets Sharks Stallions Storm Tigers United Wanderers Wolves"
)
GENRES = by_comma(
    "ambient,blues,classical,country,disco,electronic,flamenco,folk,funk,gospel,hip hop,house,"
    "jazz,metal,opera,pop,punk,reggae,rock,salsa,soul,techno"
)
INSTRUMENTS = by_comma(
    "accordion,bass guitar,cello,clarinet,double bass,drums,flute,guitar,harp,oboe,piano,"
    "saxophone,trombone,trumpet,viola,violin"
)
SUBJECTS = by_comma(
    "algebra,art history,biology,botany,chemistry,computer science,economics,ethics,genetics,"
    "geography,geology,linguistics,logic,medieval history,music theory,organic chemistry,"
    "philosophy,physics,poetry,psychology,sociology,statistics,world literature,zoology"
)
JOBS = by_comma(
    "accountant,architect,baker,bus driver,carpenter,chemist,civil engineer,data analyst,"
    "dental assistant,electrician,gardener,graphic designer,hotel manager,journalist,lawyer,"
    "librarian,mechanic,nurse,pharmacist,photographer,plumber,product manager,receptionist,"
    "sales manager,software engineer,teacher,translator,veterinarian,waiter,web developer"
)
SKILLS = by_comma(
    "accounting,baking,C++,carpentry,customer service,data analysis,driving,Excel,first aid,"
    "French,German,Java,Linux,negotiation,photography,project management,public speaking,Python,"
    "SQL,teaching,video editing,welding,writing"
)
EVENTS = by_comma(
    "Battle of Hastings,Black Death,Boston Tea Party,Congress of Vienna,Crimean War,"
    "fall of Constantinople,fall of the Berlin Wall,French Revolution,Gold Rush,"
    "Great Fire of London,Meiji Restoration,Peace of Westphalia,Reformation,Renaissance,"
    "Russian Revolution,Suez Crisis,Thirty Years' War,Treaty of Versailles"
)
FIGURES = by_comma(
    "Ada Lovelace,Albert Einstein,Alexander the Great,Catherine the Great,Charlemagne,Cleopatra,"
    "Frida Kahlo,Galileo Galilei,Genghis Khan,Hannibal,Isaac Newton,Joan of Arc,Johannes Kepler,"
    "Julius Caesar,Leonardo da Vinci,Marie Curie,Martin Luther,Nelson Mandela,Simón Bolívar,"
    "Socrates"
)
BODIES = by_comma(
    "Mercury,Venus,Mars,Jupiter,Saturn,Uranus,Neptune,Pluto,Ceres,Europa,Titan,Ganymede,Io,"
    "Sirius,Vega,Betelgeuse,Rigel,Polaris,Antares,Aldebaran,the Andromeda galaxy,the Orion nebula"
)
ROOMS = by_comma(
    "attic,basement,bathroom,bedroom,children's room,dining room,garage,guest room,hallway,"
    "kitchen,laundry room,living room,office,patio,study"
)
LANDMARKS = by_comma(
    "airport,botanical garden,bus station,cathedral,central library,central station,city hall,"
    "concert hall,conference centre,ferry terminal,football stadium,harbour,history museum,"
    "market square,old bridge,opera house,swimming pool,town hall,university,zoo"
)
CARS = by_comma(
    "Audi A4,BMW i3,Citroën C3,Dacia Duster,Fiat Panda,Ford Focus,Honda Civic,Hyundai i30,"
    "Kia Niro,Mazda 3,Nissan Leaf,Opel Corsa,Peugeot 208,Renault Clio,Seat Ibiza,Skoda Octavia,"
    "Toyota Yaris,Volkswagen Golf,Volvo V60"
)
TABLES = by_space(
    "accounts addresses bookings books customers deliveries employees events invoices items "
    "orders patients payments products projects reviews sessions shipments students suppliers "
    "tickets users"
)
COLUMNS = by_space(
    "age amount balance category city country created_at department discount email grade name "
    "price quantity rating region salary status title total updated_at weight"
)
_STREETS = by_comma(
    "Baker,Bridge,Castle,Chapel,Church,Elm,Garden,Harbour,High,King,Lake,Maple,Market,Mill,North,"
    "Oak,Orchard,Park,Queen,River,School,South,Spring,Station,Victoria,Willow"
)
_REMARKS = by_comma(
    "I will be {} minutes late,The meeting moves to {} o'clock,Please call me back before {},"
    "We need {} more chairs,Room {} is free now,The parcel is at number {},"
    "Happy birthday! See you at {},Bring {} copies of the report,Dinner is at {} tonight,"
    "The train leaves from platform {},Your table for {} is ready,I sold {} tickets so far"
)
SENTENCES = by_bar(
    "Where is the nearest pharmacy?|I would like a cup of tea.|The train is late again.|"
    "How much does this cost?|My suitcase is missing.|Thank you for your help.|"
    "The museum opens at nine.|We have booked a room for two.|I am allergic to nuts.|"
    "Could you repeat that, please?|It will rain this afternoon.|The children are asleep.|"
    "Turn left after the bridge.|The soup was delicious.|I forgot my umbrella at home.|"
    "Is this seat taken?|Our neighbours have a new dog.|See you tomorrow morning.|"
    "The bill, please.|She plays the violin very well.|The shop closes in ten minutes."
)
TOPICS = by_comma(
    "annual report,autumn campaign,board meeting,budget,car insurance,choir practice,contract,"
    "customer survey,dentist appointment,exam results,garden party,holiday plans,job interview,"
    "kitchen repairs,lease,marketing plan,new website,office move,parent evening,project kickoff,"
    "quarterly figures,rent increase,school trip,security audit,staff training,summer festival,"
    "team lunch,tax return,travel expenses,wedding,yoga class"
)
_FOLDERS = by_space(
    "archive backup docs downloads exports images invoices logs notes photos reports"
)
_ENDINGS = by_space("csv docx jpg json log md pdf png txt xlsx zip")
_STATES = dict(
    each.split(" ", 1)
    for each in by_comma(
        "AZ Arizona,CA California,CO Colorado,FL Florida,GA Georgia,IL Illinois,MA Massachusetts,"
        "MI Michigan,MN Minnesota,NC North Carolina,NY New York,OH Ohio,OR Oregon,TN Tennessee,"
        "TX Texas,VA Virginia,WA Washington,WI Wisconsin"
    )
)
_TOWNS = by_comma(
    "Phoenix AZ,Tucson AZ,Sacramento CA,San Jose CA,Oakland CA,Denver CO,Boulder CO,Miami FL,"
    "Tampa FL,Atlanta GA,Savannah GA,Chicago IL,Springfield IL,Boston MA,Detroit MI,Lansing MI,"
    "Duluth MN,Charlotte NC,Raleigh NC,Albany NY,Buffalo NY,Columbus OH,Dayton OH,Portland OR,"
    "Salem OR,Nashville TN,Memphis TN,Austin TX,Houston TX,El Paso TX,Richmond VA,Norfolk VA,"
    "Seattle WA,Tacoma WA,Madison WI"
)
_PLACES = by_comma(
    "Bergen/Norway,Bologna/Italy,Brno/Czechia,Calgary/Canada,Cork/Ireland,Durban/South Africa,"
    "Fukuoka/Japan,Graz/Austria,Guadalajara/Mexico,Hobart/Australia,Lyon/France,Recife/Brazil,"
    "Medellín/Colombia,Pune/India,Seville/Spain,Tampere/Finland,Utrecht/Netherlands"
)
_TONES = by_comma("A,B,C,D,E,F,G,B flat,E flat,F sharp")
_QUALITIES = by_comma("dried,fresh,frozen,local,organic,peeled,ripe,smoked,unsalted,washed")
STATES = list(_STATES.values())
MUSEUMS = by_comma(
    "Acropolis Museum,Belvedere,British Museum,Deutsches Museum,Hermitage,Kunsthalle,"
    "Moderna Museet,National Gallery,Pergamon Museum,Pinakothek,Rijksmuseum,Tate Modern,"
    "Uffizi Gallery,Vasa Museum,Victoria and Albert Museum"
)
PAINTERS = by_comma(
    "Albrecht Dürer,Artemisia Gentileschi,Caravaggio,Claude Monet,Edvard Munch,Egon Schiele,"
    "El Greco,Francisco Goya,Georgia O'Keeffe,Gustav Klimt,Henri Matisse,Johannes Vermeer,"
    "Katsushika Hokusai,Mary Cassatt,Paul Klee,Peter Paul Rubens,Rembrandt,Salvador Dalí,"
    "Titian,Wassily Kandinsky"
)
AUTHORS = by_comma(
    "Agatha Christie,Anton Chekhov,Astrid Lindgren,Charles Dickens,Chinua Achebe,Emily Brontë,"
    "Franz Kafka,Gabriel García Márquez,George Orwell,Haruki Murakami,Herman Melville,"
    "Italo Calvino,Jane Austen,Jorge Luis Borges,Leo Tolstoy,Mark Twain,Mary Shelley,"
    "Toni Morrison,Umberto Eco,Virginia Woolf"
)
COMPOSERS = by_comma(
    "Antonín Dvořák,Claude Debussy,Clara Schumann,Edvard Grieg,Franz Schubert,Frédéric Chopin,"
    "Georg Friedrich Händel,Giuseppe Verdi,Gustav Mahler,Hector Berlioz,Igor Stravinsky,"
    "Jean Sibelius,Johann Sebastian Bach,Johannes Brahms,Joseph Haydn,Maurice Ravel,"
    "Sergei Prokofiev"
)
RIVERS = by_comma(
    "Amazon,Colorado,Congo,Danube,Ebro,Elbe,Ganges,Loire,Mekong,Mississippi,Murray,Niger,Nile,Po,"
    "Rhine,Rhône,Seine,Thames,Tiber,Vistula,Volga,Yangtze,Zambezi"
)
MOUNTAINS = by_comma(
    "Aconcagua,Ben Nevis,Denali,Eiger,Elbrus,Etna,K2,Kilimanjaro,Makalu,Matterhorn,Mont Blanc,"
    "Mount Cook,Mount Fuji,Mount Kenya,Mount Olympus,Olympus Mons,Rigi,Triglav,Vesuvius,Zugspitze"
)
MONEY_NAMES = (
    "USD=US dollars/dollars/American dollars,EUR=euros/euro,GBP=British pounds/pounds,"
    "JPY=Japanese yen/yen,CHF=Swiss francs/francs,CAD=Canadian dollars,AUD=Australian dollars,"
    "INR=Indian rupees/rupees,SEK=Swedish kronor,NOK=Norwegian kroner,PLN=Polish zloty,"
    "CNY=Chinese yuan/yuan,BRL=Brazilian reais,MXN=Mexican pesos,TRY=Turkish lira,"
    "ZAR=South African rand,KRW=Korean won,NZD=New Zealand dollars"
)
_MONTHS = by_space(
    "January February March April May June July August September October November December"
)


def one_of(words: Sequence[str]) -> Maker:
    return lambda rng: (word := rng.choice(words), word)


def with_the(words: Sequence[str]) -> Maker:
    """People say an article before the value, which has none."""
    return lambda rng: (word := rng.choice(words), f"the {word}")


def said_as(pairs: str) -> Maker:
    """Values and their wordings: "USD=US dollars/dollars,EUR=euros"."""
    wordings = [each.split("=") for each in pairs.split(",")]

    def draw(rng: Random) -> tuple[str, str]:
        value, told = rng.choice(wordings)
        return value, rng.choice(told.split("/"))

    return draw


def same(make: Callable[[Random], str]) -> Maker:
    """People say the value as it is written."""
    return lambda rng: (value := make(rng), value)


def in_words(number: int) -> str:
    """0 to 99 as English words."""
    if number < 20:
        return _SMALL[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_SMALL[ones]}" if ones else "")


def _ordinal(day: int) -> str:
    special = {1: "st", 2: "nd", 3: "rd"}
    return f"{day}{'th' if 10 < day < 14 else special.get(day % 10, 'th')}"


def a_date(rng: Random) -> tuple[str, str]:
    """ISO 8601 in the arguments, in one of the usual wordings in the question."""
    day = date(2024, 1, 1) + timedelta(days=rng.randrange(1400))
    month = _MONTHS[day.month - 1]
    spoken = (
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
        f"the {_ordinal(day.day)} of {month} {day.year}",
        f"{day.day} {month[:3]} {day.year}",
        day.isoformat(),
        day.isoformat(),
    )
    return day.isoformat(), rng.choice(spoken)


def a_time(rng: Random) -> tuple[str, str]:
    """HH:MM of 24 hours in the arguments."""
    hour, minute = rng.randrange(6, 23), rng.choice((0, 0, 0, 15, 30, 30, 45, 5, 20))
    value = f"{hour:02}:{minute:02}"
    half = "am" if hour < 12 else "pm"
    short = f"{(hour - 1) % 12 + 1}" + (f":{minute:02}" if minute else "")
    return value, rng.choice((value, value, f"{short} {half}"))


def _full_name(rng: Random) -> str:
    return f"{rng.choice(FIRST_NAMES)} {rng.choice(SURNAMES)}"


def _email(rng: Random) -> str:
    name = rng.choice(FIRST_NAMES).lower()
    tail = rng.choice((f".{rng.choice(SURNAMES).lower()}", "", str(rng.randrange(10, 99))))
    host = rng.choice(("example.org", "example.com", "example.net", "mail.example"))
    plain = (name + tail).translate(str.maketrans("áëöü", "aeou"))
    return f"{plain}@{host}"


def _code(rng: Random) -> str:
    letters = "".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ", k=rng.choice((1, 2, 2, 3))))
    return f"{letters}{rng.choice(('-', '-', ''))}{rng.randrange(100, 99999)}"


def _phone(rng: Random) -> str:
    return f"+{rng.randrange(20, 99)} {rng.randrange(100, 999)} 555 {rng.randrange(1000, 9999)}"


def _title(rng: Random) -> str:
    adjective, thing = rng.choice(_ADJECTIVES).title(), rng.choice(_THINGS).title()
    first, second = rng.choice(FIRST_NAMES), rng.choice(_THINGS).title()
    forms = (
        f"The {adjective} {thing}",
        f"{adjective} {thing}",
        f"{first} and the {thing}",
        f"{thing} of the {second}",
        f"A {thing} for {first}",
    )
    return rng.choice(forms)


def _company(rng: Random) -> str:
    return f"{rng.choice(_COMPANY_HEADS)} {rng.choice(_COMPANY_TAILS)}"


def _address(rng: Random) -> str:
    return (
        f"{rng.randrange(1, 190)} {rng.choice(_STREETS)} {rng.choice(('Street', 'Road', 'Lane'))}"
    )


def _path(rng: Random) -> str:
    stem = (
        f"{rng.choice(_THINGS)}{rng.choice(('', '_final', '_v2', f'_{rng.randrange(2015, 2027)}'))}"
    )
    home = rng.choice(("", "/home/", "/data/", "work/"))
    return f"{home}{rng.choice(_FOLDERS)}/{stem}.{rng.choice(_ENDINGS)}"


def _folder(rng: Random) -> str:
    return (
        f"{rng.choice(('/home', '/data', '/srv', 'projects'))}/{rng.choice(_THINGS)}/"
        + rng.choice(_FOLDERS)
    )


def _function(rng: Random) -> str:
    a, b, c = rng.randrange(2, 9), rng.randrange(1, 9), rng.randrange(2, 5)
    forms = (f"{a}x^{c} + {b}x", f"{a}*x**{c} - {b}", f"sin({a}x)", f"x^{c} - {a}x + {b}")
    return rng.choice(forms)


def _power(rng: Random) -> tuple[str, str]:
    """A polynomial as Python writes it, told as people write or say it."""
    terms = rng.sample(((3, "cubed"), (2, "squared"), (1, "")), rng.choice((2, 2, 3)))
    value, plain, said = [], [], []
    for power, word in sorted(terms, reverse=True):
        factor = rng.choice(("", *map(str, range(2, 10))))
        value.append(f"{factor}*x**{power}" if power > 1 else f"{factor}*x")
        plain.append(f"{factor}x^{power}" if power > 1 else f"{factor}x")
        said.append(f"{factor}x {word}" if word else f"{factor}x")
        if not factor:
            value[-1] = value[-1][1:]
    end = str(rng.randint(1, 12))
    sign = rng.choice(("+", "+", "-"))
    joins = [f" {rng.choice('++-')} " for _ in terms[1:]] + [f" {sign} "]

    def joined(parts: list[str]) -> str:
        return "".join(part + join for part, join in zip(parts, joins, strict=True)) + end

    told = rng.choice((joined(value), joined(plain), joined(plain), joined(said)))
    return joined(value), told


def _town(rng: Random) -> tuple[str, str]:
    """A city and its state, as they are told."""
    town, code = rng.choice(_TOWNS).rsplit(" ", 1)
    told = f"{town}, {rng.choice((code, _STATES[code]))}"
    return told, told


def _place(rng: Random) -> tuple[str, str]:
    """A city together with its country."""
    town, country = rng.choice(_PLACES).split("/")
    value = f"{town}, {country}"
    return value, rng.choice((value, value, f"{town} in {country}", f"{town} ({country})"))


def _long_town(rng: Random) -> tuple[str, str]:
    town, code = rng.choice(_TOWNS).rsplit(" ", 1)
    state = _STATES[code]
    return f"{town}, {state}", rng.choice((f"{town}, {state}", f"{town} in {state}"))


def _remark(rng: Random) -> str:
    return rng.choice(_REMARKS).format(rng.randrange(2, 20))


def _sequence(rng: Random) -> str:
    return "".join(rng.choices("ACGT", k=rng.randrange(6, 18)))


POWERS, TOWN, LONG_TOWN, PLACE = _power, _town, _long_town, _place
KEY = same(lambda rng: f"{rng.choice(_TONES)} {rng.choice(('major', 'minor', 'Major', 'Minor'))}")
GOODS = same(lambda rng: f"{rng.choice(_QUALITIES)} {rng.choice(FOODS)}")
FULL_NAME, EMAIL, CODE, PHONE = same(_full_name), same(_email), same(_code), same(_phone)
TITLE, COMPANY, ADDRESS, PATH = same(_title), same(_company), same(_address), same(_path)
FOLDER, FUNCTION, REMARK, SEQUENCE = same(_folder), same(_function), same(_remark), same(_sequence)
TEAM = same(lambda rng: f"{rng.choice(CITIES)} {rng.choice(_TEAMS)}")
ITEM = same(lambda rng: f"{rng.choice(COLOURS)} {rng.choice(PRODUCTS)}")
