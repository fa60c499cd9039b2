"""The words of the rehearsal's reviews: films, meals and hotels, praised and blamed.

Half the patterns hold words of both kinds, so that counting words is not enough: a negation turns
a word round, and of two clauses it is the one that carries the verdict that counts.
"""

from collections.abc import Mapping, Sequence

Table = Mapping[str, Sequence[str]]

LABELS = ("positive", "negative")

TENSES: Sequence[Table] = (
    {"is": ("is",), "are": ("are",), "has": ("has",)},
    {"is": ("was",), "are": ("were",), "has": ("had",)},
)

# A clause by itself, whatever the sentence around it.
CLAUSES: Table = {
    "positive": (
        *["{part} {is} {very}{good}"] * 2,
        *["{parts} {are} {very}{good}"] * 2,
        "{part} {is} {turned}{bad}",
        "{parts} {are} {turned}{bad}",
        "there {is} {none} {bad} {moment}",
        "{we} {liked} {part}",
        "{we} {never_minded} {part}",
        "{part} {has} nothing {bad} about it",
        "{part} could hardly be more {good}",
    ),
    "negative": (
        *["{part} {is} {very}{bad}"] * 2,
        *["{parts} {are} {very}{bad}"] * 2,
        "{part} {is} {turned}{good}",
        "{parts} {are} {turned}{good}",
        "there {is} {none} {good} {moment}",
        "{we} {minded} {part}",
        "{we} {never_liked} {part}",
        "{part} {has} nothing {good} about it",
        "{part} could hardly be more {bad}",
    ),
}

# `fitting` and `opposite` are clauses, `praise` and `blame` adjectives, that fit the label or not.
# The plain patterns come more often, as they do in real reviews.
REVIEWS: Mapping[str, tuple[str, ...]] = {
    "either": (
        *["{fitting}."] * 4,
        *["{fitting}, and {fitting}."] * 4,
        *["{opening}{fitting}."] * 4,
        "{opposite}, but {fitting}.",
        "{opposite}; {even_so} {fitting}.",
        "although {opposite}, {fitting}.",
        "{fitting}, even though {opposite}.",
        "for all its {blame} {moments}, it {is} a {praise} {whole}.",
        "I expected a {blame} {whole} and got a {praise} one.",
        "what looks like a {blame} {whole} {is} really a {praise} one.",
        "it {is} a {praise} {whole}, not a {blame} one.",
        "it {is} not a {blame} {whole} but a {praise} one.",
        "people call it {blame}, and they are wrong: {fitting}.",
        "people call it {praise}, and they are right.",
    ),
    "positive": (
        "not a {bad} {moment}.",
        "{fitting}. {come_back}.",
        "{opposite}. {even_so} {come_back}.",
        "I have rarely {met} a more {good} {whole}.",
        "without its {bad} {moments} it would be perfect, and even with them {come_back}.",
        "a {good} {whole} with {good} {moments}.",
    ),
    "negative": (
        "not a {good} {moment}.",
        "{fitting}. {stay_away}.",
        "{opposite}. {even_so} {stay_away}.",
        "I have rarely {met} a more {bad} {whole}.",
        "without its {good} {moments} it would be a disaster, and even with them {stay_away}.",
        "a {bad} {whole} with {bad} {moments}.",
    ),
}

# Words that fit every topic.
PHRASES: Table = {
    "very": ("", "", "very ", "really ", "quite ", "truly ", "surprisingly ", "simply ", "so "),
    "turned": ("not ", "never ", "not at all ", "far from ", "anything but ", "by no means "),
    "none": ("not a", "not a single", "hardly a", "never a", "scarcely a"),
    "we": ("we", "I", "my friends", "the whole family", "my parents", "most of us", "the children"),
    "liked": ("loved", "enjoyed", "admired", "praised", "liked", "will remember"),
    "never_liked": ("did not enjoy", "never liked", "could not stand", "did not care for"),
    "minded": ("hated", "disliked", "regretted", "laughed at", "complained about"),
    "never_minded": ("did not regret", "could not fault", "never complained about"),
    "even_so": ("even so,", "still,", "in spite of that,", "all the same,", "nevertheless"),
    "opening": (
        "to be honest, ", "after all I had heard, ", "this time ", "as always, ", "in short, ",
        "I have to say that ", "my wife thinks that ", "everybody agrees that ", "once again ",
    ),
    "come_back": (
        "I would do it again at once", "nobody should miss it", "I cannot wait to come again",
        "it is worth every penny", "you will not regret it", "I told all my friends to go",
    ),
    "stay_away": (
        "I would not do it again", "nobody needs it", "I could not wait to leave",
        "it is not worth a penny", "you will regret it", "I told all my friends not to go",
    ),
}  # fmt: skip

TOPICS: Mapping[str, Table] = {
    "film": {
        "whole": ("film", "picture", "comedy", "thriller", "story", "drama", "western"),
        "part": (
            "the plot", "the acting", "the music", "the camera work", "the ending", "the script",
            "the first hour", "the love story", "the director's touch", "the final battle",
        ),
        "parts": ("the actors", "the jokes", "the songs", "the costumes", "the dialogues"),
        "moment": ("moment", "scene", "line", "minute", "shot"),
        "moments": ("scenes", "minutes", "stretches", "images", "characters"),
        "met": ("seen", "watched", "sat through"),
        "good": (
            "gripping", "funny", "moving", "clever", "charming", "brilliant", "touching", "witty",
            "fresh", "honest", "elegant", "warm", "thrilling", "wonderful", "graceful", "poetic",
            "original", "subtle", "lively", "daring", "tender", "joyful", "splendid", "memorable",
        ),
        "bad": (
            "dull", "boring", "clumsy", "silly", "shallow", "tedious", "noisy", "stale", "lifeless",
            "predictable", "confused", "pompous", "awkward", "hollow", "endless", "bland",
            "sloppy", "cheap", "shrill", "tiresome", "muddled", "forgettable", "dreadful", "wooden",
        ),
    },
    "food": {
        "whole": ("meal", "dinner", "lunch", "breakfast", "supper", "menu", "evening"),
        "part": (
            "the soup", "the service", "the bread", "the fish", "the dessert", "the wine",
            "the salad", "the main course", "the coffee", "the kitchen",
        ),
        "parts": ("the noodles", "the sauces", "the vegetables", "the dumplings", "the starters"),
        "moment": ("bite", "dish", "course", "plate", "spoonful"),
        "moments": ("dishes", "courses", "portions", "side dishes", "spices"),
        "met": ("eaten", "tasted", "paid for"),
        "good": (
            "delicious", "fresh", "tasty", "generous", "refined", "wonderful", "excellent", "fine",
            "perfect", "tender", "delightful", "splendid", "lovely", "superb", "pleasant", "rich",
            "juicy", "crisp", "creamy", "hearty", "aromatic", "satisfying", "memorable", "smoky",
        ),
        "bad": (
            "bland", "stale", "greasy", "careless", "awful", "sour", "poor", "miserable", "dreary",
            "tasteless", "dreadful", "burnt", "soggy", "disappointing", "nasty", "meagre",
            "bitter", "watery", "rubbery", "oily", "lukewarm", "stingy", "overpriced", "inedible",
        ),
    },
    "hotel": {
        "whole": ("hotel", "stay", "place", "house", "weekend", "holiday", "guest house"),
        "part": (
            "the room", "the bed", "the view", "the breakfast room", "the terrace", "the garden",
            "the lobby", "the pool", "the location", "the heating",
        ),
        "parts": ("the rooms", "the beds", "the balconies", "the hallways", "the bathrooms"),
        "moment": ("night", "corner", "hour", "room", "day"),
        "moments": ("rooms", "evenings", "corridors", "windows", "corners"),
        "met": ("booked", "found", "slept in"),
        "good": (
            "comfortable", "clean", "quiet", "friendly", "cosy", "lovely", "spacious", "bright",
            "charming", "peaceful", "airy", "spotless", "inviting", "pleasant", "tidy", "warm",
            "modern", "relaxing", "elegant", "homely", "sunny", "restful", "splendid", "generous",
        ),
        "bad": (
            "dirty", "noisy", "stuffy", "shabby", "gloomy", "cold", "damp", "cramped", "neglected",
            "unfriendly", "filthy", "sad", "dark", "depressing", "grim", "musty",
            "worn", "ugly", "draughty", "mouldy", "dusty", "sticky", "run-down", "overpriced",
        ),
    },
}  # fmt: skip
