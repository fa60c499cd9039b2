"""The stories of the rehearsal: scripts of steps that make sense in one order only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A step whose first phrasing begins so may be left out.
SKIPPABLE = "?"


@dataclass(frozen=True)
class Story:
    """One script: an opening, steps with several phrasings each, an ending."""

    opening: Sequence[str]
    steps: Sequence[Sequence[str]]
    ending: Sequence[str]
    things: Mapping[str, Sequence[str]]
    """What is drawn once for the whole story, by the symbol that stands for it."""


CAST = tuple(
    (name, pronoun, possessive)
    for names, pronoun, possessive in (
        ("Mara Ines Ruth Olga Hanna Yuki Amina Clara Nora Edith Lena Zora", "she", "her"),
        ("Tom Pavel Henrik Omar Luis Anton Kofi Bruno Milan Felix Arne Jonas", "he", "his"),
    )
    for name in names.split()
)
PLACES = (
    "by the harbour", "near the old bridge", "behind the station", "at the edge of the forest",
    "on the hill", "beside the river", "in the valley", "next to the mill", "close to the market",
    "above the bay",
)  # fmt: skip
WEATHER = (
    "it was raining", "the sun was shining", "a cold wind was blowing", "there was fog",
    "the sky was clear", "a storm was coming", "it had snowed", "it was warm for once",
)  # fmt: skip
TIMES = (
    "on Monday", "on Tuesday", "on Friday", "on Sunday", "one morning", "one day in spring",
    "last summer", "in October", "the other day", "on the first of May",
)  # fmt: skip
LEADS_FIRST = ("first ", "first of all, ", "to begin with, ")
LEADS_BETWEEN = ("then ", "after that ", "next, ", "soon afterwards ", "now ", "", "", "", "")
LEADS_LAST = ("finally ", "at last ", "in the end ")

STORIES = (
    Story(
        opening=(
            "{time} {name} wanted to bake a {loaf} for {guest}.",
            "{name}, who lived {place}, had promised {guest} a {loaf}.",
        ),
        steps=(
            ("?{she} looked for the flour in the cupboard", "{she} bought flour and {extra}"),
            ("{she} mixed the flour with water", "{she} put flour, water and {extra} into a bowl"),
            ("{she} kneaded the dough on the table", "{she} folded the dough with both hands"),
            ("?{she} let the dough rest under a cloth", "the dough stood in a warm corner"),
            ("{she} heated the oven", "{she} waited until the oven was hot"),
            ("{she} put the dough into the oven", "the dough went into the heat"),
            ("{she} took the {loaf} out of the oven", "the {loaf} came out brown and crisp"),
        ),
        ending=(
            "{name} and {guest} ate the {loaf} while it was still warm.",
            "When {guest} had eaten, not a crumb was left.",
        ),
        things={
            "loaf": ("dark bread", "plum cake", "round loaf", "apple pie", "sweet braid"),
            "guest": ("the neighbours", "an old friend", "the children", "the postman"),
            "extra": ("salt", "honey", "butter", "a little yeast", "some nuts"),
        },
    ),
    Story(
        opening=(
            "{name}, who lived {place}, had a {boat}.",
            "{time} {name} decided to sail to {goal} in a {boat}.",
        ),
        steps=(
            ("?{she} looked at the sky, for {weather}", "{she} asked about the wind"),
            ("{she} carried {load} on board", "{load} had to be brought on board"),
            ("{she} untied the ropes", "{she} threw the ropes on the quay"),
            ("{she} raised the sail", "the sail went up and filled with wind"),
            ("the {boat} left the harbour", "the harbour became small behind the {boat}"),
            ("?some dolphins swam beside the {boat}", "an albatross followed the {boat}"),
            ("{she} saw {goal} in front of the bow", "{goal} rose out of the sea"),
            ("{she} dropped the anchor", "the anchor fell into the clear water"),
        ),
        ending=(
            "That night {name} slept on deck under the stars.",
            "{name} stayed at {goal} until the food was gone.",
        ),
        things={
            "boat": ("small boat", "old yacht", "blue sloop", "fishing boat"),
            "goal": ("the lighthouse", "the green island", "the bird rock", "the southern cape"),
            "load": ("water and bread", "two lamps", "a box of apples", "a heavy coat"),
        },
    ),
    Story(
        opening=(
            "{time} {name} set out for {peak}, although {weather}.",
            "{name} had always wanted to climb {peak}.",
        ),
        steps=(
            ("{she} packed {load}", "{she} put {load} into a bag"),
            ("{she} took the bus to the last village", "{she} walked to the last village"),
            ("{she} followed the path through the forest", "the path led up through the trees"),
            ("?{she} rested at a spring", "{she} drank from a stream"),
            ("{she} left the last trees behind", "{she} came out above the trees"),
            ("?the path became steep and full of stones", "{she} had to use both hands"),
            ("{she} stood on {peak}", "{she} reached the top of {peak}"),
        ),
        ending=(
            "From there {she} could see as far as the coast.",
            "On the way down {name} met nobody but a few goats.",
        ),
        things={
            "peak": ("the grey mountain", "the highest hill", "the Needle", "the long ridge"),
            "load": ("cheese and bread", "a map", "a warm jacket", "a bottle of tea"),
        },
    ),
    Story(
        opening=(
            "{name} found an old {machine} in a shed {place}.",
            "In {her} cellar {place} {name} had a {machine} that did not work.",
        ),
        steps=(
            ("{she} carried the {machine} into the workshop", "{she} put it on the table"),
            ("{she} wiped off the dust", "{she} cleaned it with an old shirt"),
            ("{she} opened it and found {fault}", "{she} saw that the trouble was {fault}"),
            ("?{she} searched the town for a new part", "a friend sent a new part"),
            ("{she} put in the new part", "the new part was fitted with care"),
            ("?{she} oiled everything that moved", "{she} tightened all the screws"),
            ("the {machine} began to run", "the {machine} worked as if it were new"),
        ),
        ending=(
            "{name} sold the {machine} to a collector and was sorry at once.",
            "Since then {name} has used the {machine} every day.",
        ),
        things={
            "machine": ("radio", "kitchen clock", "sewing machine", "coffee mill", "music box"),
            "fault": ("a broken spring", "a worn wheel", "a loose wire", "a rusty screw"),
        },
    ),
    Story(
        opening=(
            "{name} rented a garden {place}.",
            "{time} {name} began to grow {crop}.",
        ),
        steps=(
            ("{she} dug up the ground", "{she} turned the earth with a spade"),
            ("?{she} took out the stones", "{she} mixed sand and old leaves into the earth"),
            ("{she} put the seeds into the ground", "{she} sowed {crop} in straight rows"),
            ("{she} watered the seeds every evening", "{she} waited for rain"),
            ("small green leaves came up", "the first leaves could be seen"),
            ("?{she} pulled out the weeds", "{she} chased away the {pest}"),
            ("the plants grew tall", "the plants stood in flower"),
            ("{she} could harvest {crop}", "{she} filled a basket with {crop}"),
        ),
        ending=(
            "{name} gave half of it to the people next door.",
            "The {pest} had eaten only a small part of it.",
        ),
        things={
            "crop": ("beans", "carrots", "peas", "pumpkins", "potatoes", "onions"),
            "pest": ("snails", "pigeons", "hares", "crows"),
        },
    ),
    Story(
        opening=(
            "{time} {name} had to travel to {city}, and {weather}.",
            "{name} had got a letter from {city}.",
        ),
        steps=(
            ("{she} packed a suitcase", "{she} folded {her} best shirt into a suitcase"),
            ("{she} bought a ticket", "{she} stood in a long queue for a ticket"),
            ("the train came in", "{she} got on the train"),
            ("?{she} read {reading} by the window", "{she} shared {reading} with a stranger"),
            ("?the train stopped in a field for an hour", "a child fell asleep on the seat"),
            ("the first houses of {city} appeared", "the train slowed down in the suburbs"),
            ("{she} got off at {city}", "{she} stepped out on the platform"),
        ),
        ending=(
            "Somebody was waiting for {name} under the clock.",
            "{name} forgot {her} umbrella on the train.",
        ),
        things={
            "city": ("the capital", "Northport", "the old town", "Redbridge", "the south"),
            "reading": ("a newspaper", "a thick novel", "a book about birds", "an atlas"),
        },
    ),
    Story(
        opening=(
            "{time} {name} went to see a {film} with {friend}.",
            "{friend} had talked {name} into seeing a {film}.",
        ),
        steps=(
            ("they met {place}", "they met in front of the cinema"),
            ("they bought two tickets", "{friend} paid for the tickets"),
            ("?they shared a bag of nuts", "they bought something to drink"),
            ("the lights went out", "it became dark in the hall"),
            ("the {film} began", "the first scene of the {film} made them laugh"),
            ("?{friend} fell asleep", "somebody in front put on a tall hat"),
            ("the hero came home", "the mystery was solved"),
            ("the lights went on again", "the curtain closed"),
        ),
        ending=(
            "{name} and {friend} talked about the {film} all the way home.",
            "Outside {weather}, and they walked home without a word.",
        ),
        things={
            "film": ("silent film", "comedy", "film about the sea", "western", "new thriller"),
            "friend": ("a cousin", "a colleague", "the new neighbour", "an aunt"),
        },
    ),
    Story(
        opening=(
            "An albatross had built its nest on the cliff above the village.",
            "{time} {name} watched an albatross from the cliff, and {weather}.",
        ),
        steps=(
            ("the bird laid a single egg", "there was one white egg in the nest"),
            ("?the parents took turns on the nest", "one parent sat while the other fished"),
            ("a crack ran through the egg", "the egg began to move"),
            ("a grey chick came out", "the chick put its beak into the light"),
            ("the parents fed it with {food}", "it grew fat on {food}"),
            ("?it lost its down", "long feathers took the place of the down"),
            ("it stretched its wings in the wind", "it hopped along the cliff"),
            ("it flew out to sea", "it let itself fall into the wind and flew"),
        ),
        ending=(
            "It will come back to the same cliff in five years.",
            "For many years its feet will not touch the land.",
        ),
        things={"food": ("squid", "fish", "small crabs", "oil and fish")},
    ),
)
