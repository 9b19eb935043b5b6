"""Words for an invented community: names, and short texts in several languages. Nobody here is real."""

import random
import unicodedata

_GIVEN = (
    "Amara Anouk Anton Ayla Bilal Bruna Caio Carmen Chidi Clara Dariusz Daya Dmitri Elif Emre Esme Farid Fatou Finn "
    "Freya Gita Goran Hana Hassan Ines Ivo Jamila Jin Joana Kaito Karim Keiko Lars Leila Lucía Luka Maeve Malik Marta "
    "Mei Milan Nadia Ngozi Nils Noor Olga Oskar Paloma Priya Rafael Rosa Sami Sanne Selin Tadeo Tomas Uma Vera Wanjiru"
).split()
_FAMILY = (
    "Abebe Alves Andersson Aydın Banerjee Bauer Castillo Chen Costa Demir Diallo Dubois Eriksen Farah Fischer García "
    "Haddad Horvat Ibrahim Ito Jansen Kaya Kim Kovač Kowalski Lindqvist Lopez Mbeki Meyer Moreau Nakamura Novak "
    "Okafor Oliveira Park Petrov Rossi Sato Schmidt Silva Singh Sørensen Tanaka Varga Wang Weber Yılmaz Zhang"
).split()

_THINGS = {
    "en": (
        "sourdough",
        "a second-hand road bike",
        "lino printing",
        "the night train",
        "tomato seedlings",
        "an old synth",
    ),
    "de": ("Sauerteig", "das alte Rennrad", "Linoldruck", "der Nachtzug", "Tomatensetzlinge", "ein alter Synthesizer"),
    "es": (
        "la masa madre",
        "la bici de segunda mano",
        "el grabado",
        "el tren nocturno",
        "los tomates",
        "un sintetizador",
    ),
    "pt": (
        "o pão caseiro",
        "a bicicleta usada",
        "a gravura",
        "o comboio da noite",
        "os tomates",
        "um sintetizador antigo",
    ),
    "fr": ("le levain", "le vieux vélo", "la linogravure", "le train de nuit", "les tomates", "un vieux synthé"),
    "tr": ("ekşi maya", "eski bisiklet", "linol baskı", "gece treni", "domates fideleri", "eski bir synth"),
    "ja": ("パン作り", "中古の自転車", "版画", "夜行列車", "トマトの苗", "古いシンセ"),
    "hi": ("घर की रोटी", "पुरानी साइकिल", "छपाई", "रात की ट्रेन", "टमाटर के पौधे", "पुराना सिंथ"),
}
_SENTENCES = {
    "en": (
        "Spent the whole weekend on {}. Worth it.",
        "Three weeks of {} and I finally see progress 🎉",
        "Does anyone here know a good book about {}?",
        "Unpopular opinion: {} is better in the rain.",
        "Photo from this morning: {}.",
        "Day {n} with {}. Notes in the comments.",
    ),
    "de": (
        "Das ganze Wochenende: {}. Hat sich gelohnt.",
        "Tag {n}, und {} klappt endlich 🎉",
        "Kennt jemand ein gutes Buch dazu: {}?",
        "Heute früh fotografiert: {}.",
    ),
    "es": (
        "Todo el fin de semana con {}. Valió la pena.",
        "Día {n}: por fin entiendo {} 🎉",
        "¿Alguien conoce un buen libro sobre {}?",
        "Foto de esta mañana: {}.",
    ),
    "pt": ("Fim de semana inteiro com {}. Valeu a pena.", "Dia {n} e {} já corre melhor 🎉", "Foto desta manhã: {}."),
    "fr": ("Tout le week-end avec {}. Ça valait le coup.", "Jour {n} : {}, enfin 🎉", "Photo de ce matin : {}."),
    "tr": ("Bütün hafta sonu: {}. Değdi.", "{n}. gün: {}, sonunda 🎉", "Bu sabahtan: {}."),
    "ja": ("週末はずっと{}。やってよかった。", "{n}日目、{}がやっとわかってきた🎉", "今朝の写真:{}"),
    "hi": ("पूरा सप्ताहांत: {}। मज़ा आया।", "दिन {n}: {}, आख़िरकार 🎉", "आज सुबह की तस्वीर: {}।"),
}
_ENDINGS = {
    "en": (
        "",
        "Send tips!",
        "Neighbours were surprised.",
        "Next: the hard part.",
        "My hands hurt.",
        "No regrets.",
        "Ask me.",
    ),
    "de": ("", "Tipps willkommen!", "Die Nachbarn staunten.", "Morgen weiter.", "Fragt ruhig."),
    "es": ("", "¡Acepto consejos!", "Mañana sigo.", "Los vecinos miraban.", "Preguntad."),
    "pt": ("", "Aceito dicas!", "Amanhã há mais.", "Os vizinhos riram.", "Perguntem."),
    "fr": ("", "Vos conseils ?", "La suite demain.", "Les voisins rient encore.", "Sans regret."),
    "tr": ("", "Önerilere açığım!", "Yarın devam.", "Komşular şaşırdı.", "Pişman değilim."),
    "ja": ("", "コツを教えてください。", "明日も続けます。", "近所の人もびっくり。", "楽しい。"),
    "hi": ("", "सुझाव दीजिए!", "कल फिर।", "पड़ोसी हैरान थे।", "कोई पछतावा नहीं।"),
}
# Letters that Unicode does not take apart.
_NO_PARTS = str.maketrans({"ø": "o", "ı": "i", "ł": "l"})
_REPLIES = (
    "Love this.", "How did you get started?", "Same here!", "Saving this for later.", "Ich auch!", "Wie schön.",
    "¡Qué bueno!", "¿Cuánto tiempo te llevó?", "Que lindo!", "Magnifique.", "Çok güzel!", "すてき!", "बहुत बढ़िया!",
    "Where was that?", "You make it look easy.", "I disagree, but nicely put.", "More of this please 🙏", "👏👏",
)  # fmt: skip
LANGUAGES = tuple(_THINGS)


def names(chance: random.Random, count: int) -> list[tuple[str, str]]:
    """`count` pairs of user name (unique, ASCII) and display name."""
    made: dict[str, str] = {}
    while len(made) < count:
        given, family = chance.choice(_GIVEN), chance.choice(_FAMILY)
        base = _ascii(f"{given}.{family}".lower())
        username = base if base not in made else f"{base}{chance.randrange(10, 10_000)}"
        made.setdefault(username, f"{given} {family}")
    return list(made.items())


def _ascii(text: str) -> str:
    """`text` without its accents: fit for a user name."""
    apart = unicodedata.normalize("NFKD", text.translate(_NO_PARTS))
    return "".join(char for char in apart if char.isascii())


def post_text(chance: random.Random, language: str) -> str:
    """One or two sentences; seldom the same twice, since equal posts count as copies of each other."""
    sentence = chance.choice(_SENTENCES[language]).format(chance.choice(_THINGS[language]), n=chance.randrange(2, 400))
    return f"{sentence} {chance.choice(_ENDINGS[language])}".rstrip()


def reply(chance: random.Random) -> str:
    return chance.choice(_REPLIES)


def media(chance: random.Random) -> list[dict[str, str]]:
    """None for most posts, one or two attachments for the others."""
    if chance.random() > 0.3:
        return []
    items = []
    for _ in range(chance.choice((1, 1, 1, 2))):
        name = f"{chance.getrandbits(64):016x}"
        kind, suffix = chance.choice((("image", "jpg"), ("image", "jpg"), ("video", "mp4")))
        items.append({"url": f"https://media.example/{name}.{suffix}", "kind": kind, "hash": name})
    return items
