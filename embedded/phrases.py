"""What members of the simulated community say: small templates in several languages, filled with everyday things.

`{thing}`, `{place}` and `{time}` are filled from the same language; everybody keeps to one language.
"""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Tongue:
    """One language: templates for posts, words to fill them with, and comments."""

    posts: tuple[str, ...]
    things: tuple[str, ...]
    places: tuple[str, ...]
    times: tuple[str, ...]
    comments: tuple[str, ...]


ENGLISH = Tongue(
    posts=(
        "Finally found {thing} at {place}. Worth the wait.",
        "Does anyone else think {thing} tastes better {time}?",
        "{time}, {place}, and {thing}. That is the whole plan.",
        "Hot take: {thing} is underrated.",
        "Lost my umbrella at {place} again. Third one this year.",
        "Looking for someone to split {thing} with, {time}.",
        "Took the long way home past {place}. No regrets.",
        "Learned to make {thing} from a neighbour. It only burned twice.",
        "The queue at {place} was so long that I made two friends in it.",
        "Small win: {thing}, no instructions, works.",
    ),
    things=("sourdough", "a second-hand bike", "ramen", "cold brew", "a Nina Simone record", "rhubarb cake", "a kite"),
    places=("the harbour", "the night market", "the old library", "platform 4", "the allotments", "the corner shop"),
    times=("on Sunday morning", "after the rain", "at midnight", "before work", "tonight"),
    comments=("Same here!", "Where is that exactly?", "I needed to read this today.", "Pictures or it did not happen.",
              "Save me some.", "This made me laugh, thank you.", "Going there this weekend."),
)  # fmt: skip
GERMAN = Tongue(
    posts=(
        "{time} am liebsten: {thing} und sonst nichts.",
        "Wer kommt mit zu {place}? Ich bringe {thing} mit.",
        "Seit heute weiß ich: {thing} kann man auch ohne Rezept.",
        "Eine Stunde auf die Bahn gewartet. Dafür {thing} entdeckt.",
        "Bei {place} riecht es {time} nach Zimt. Niemand weiß, warum.",
        "Kleine Freude: {thing}, und die Sonne kommt raus.",
    ),
    things=("Kirschkuchen", "ein altes Radio", "Brezeln vom Vortag", "ein neues Fahrradschloss", "Linsensuppe"),
    places=("der alten Mühle", "der Eisdiele", "Oma", "der Bücherei"),
    times=("am Feierabend", "morgens um sieben", "bei Regen", "am Wochenende"),
    comments=(
        "Kenn ich gut.",
        "Bin dabei!",
        "Sehr schön geschrieben.",
        "Und, hat es geschmeckt?",
        "Das merke ich mir.",
    ),
)
SPANISH = Tongue(
    posts=(
        "Hoy tocó {thing} en {place}. Plan perfecto.",
        "¿Alguien más piensa que {thing} sabe mejor {time}?",
        "He aprendido a preparar {thing}. La cocina sobrevivió.",
        "{time} pasé por {place} y sonaba música en la calle.",
        "Busco compañía para {thing}, {time}.",
        "Nada como {place} {time}.",
    ),
    things=("tortilla", "un café con leche", "churros", "una partida de ajedrez", "gazpacho"),
    places=("la plaza", "el mercado", "el puerto", "la terraza de siempre"),
    times=("por la tarde", "después de llover", "el domingo", "de madrugada"),
    comments=("¡Qué envidia!", "Me apunto.", "Totalmente de acuerdo.", "¿Y la receta?", "Qué buena foto me imagino."),
)
FRENCH = Tongue(
    posts=(
        "Retrouvé {thing} chez le brocanteur près de {place}.",
        "{time}, rien ne vaut {thing}.",
        "Qui est partant pour {thing} {time} ?",
        "J'ai raté le bus, alors j'ai marché jusqu'à {place}. Belle lumière.",
        "Petite victoire du jour : {thing}.",
    ),
    things=("une tarte aux mirabelles", "un vieux vélo", "un polar de 1962", "une soupe à l'oignon"),
    places=("la gare", "la place du marché", "l'écluse", "la médiathèque"),
    times=("le dimanche", "sous la pluie", "ce soir", "au petit matin"),
    comments=("Ça donne envie !", "J'arrive.", "Trop bien.", "On veut la recette.", "Je connais cet endroit."),
)
PORTUGUESE = Tongue(
    posts=(
        "{thing} e vista para {place}. Obrigado, segunda-feira.",
        "Alguém sabe onde há {thing} {time}?",
        "Hoje aprendi a fazer {thing} com a minha avó.",
        "{time}, {place} é só nosso.",
    ),
    things=("pastéis de nata", "caldo verde", "um disco do Caetano", "pão de queijo"),
    places=("o rio", "a praia", "o mercado velho", "o miradouro"),
    times=("de manhã cedo", "ao fim da tarde", "no sábado"),
    comments=("Que maravilha!", "Também quero.", "Verdade.", "Vou já para aí."),
)
TURKISH = Tongue(
    posts=(
        "{time} {place}: {thing} ve bol bol sohbet.",
        "Sonunda {thing} yapmayı öğrendim.",
        "{thing} sevmeyen var mı aranızda?",
        "Vapuru kaçırdım ama {place} güzeldi.",
    ),
    things=("menemen", "simit ve çay", "eski bir plak", "mercimek çorbası"),
    places=("sahilde", "çarşıda", "parkta"),
    times=("Akşamüstü", "Yağmurdan sonra", "Pazar sabahı"),
    comments=("Afiyet olsun!", "Ben de geliyorum.", "Çok haklısın.", "Tarifini isterim."),
)
JAPANESE = Tongue(
    posts=(
        "{time}、{place}で{thing}。最高でした。",
        "{thing}が好きな人、いますか？",
        "{place}で雨宿り。{thing}を見つけました。",
        "はじめて{thing}を作ってみた。少し焦げたけど満足。",
    ),
    things=("メロンパン", "味噌ラーメン", "古いレコード", "抹茶プリン"),
    places=("商店街", "川沿い", "駅前の喫茶店", "図書館"),
    times=("日曜の朝", "仕事帰り", "雨上がり"),
    comments=("いいですね！", "今度行ってみます。", "わかります。", "おいしそう。"),
)
HINDI = Tongue(
    posts=(
        "{time} {place} पर {thing}, और क्या चाहिए?",
        "आज {thing} बनाना सीखा। रसोई सलामत है।",
        "किसी को {place} के पास अच्छा {thing} मिला है?",
    ),
    things=("मसाला चाय", "समोसा", "पोहा"),
    places=("स्टेशन", "बाज़ार", "नदी किनारे"),
    times=("बारिश के बाद", "सुबह-सुबह", "आज शाम"),
    comments=("वाह!", "मैं भी आता हूँ।", "बिलकुल सही।", "रेसिपी भेजो।"),
)
TONGUES = (ENGLISH, ENGLISH, ENGLISH, GERMAN, SPANISH, FRENCH, PORTUGUESE, TURKISH, JAPANESE, HINDI)


def post(tongue: Tongue, random: Random) -> str:
    """A post of one or two sentences."""
    text = random.choice(tongue.posts).format(
        thing=random.choice(tongue.things), place=random.choice(tongue.places), time=random.choice(tongue.times)
    )
    return text[0].upper() + text[1:]


def comment(tongue: Tongue, random: Random) -> str:
    """A short reply."""
    return random.choice(tongue.comments)
