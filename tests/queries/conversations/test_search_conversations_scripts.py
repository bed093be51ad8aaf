"""search_conversations: what a search finds, in identifiers and in the words of many scripts."""

# ruff: noqa: RUF001 - the letters that look alike are what the tests are about.

from dataclasses import replace
from unicodedata import normalize

from tests.support.steps.search import Searched

# A text, searches that find it, and searches that do not.
TEXTS: list[tuple[str, list[str], list[str]]] = [
    (
        "order #A-12345 is late",
        ["12345", "A-12345", "#A-12345", "a12345", "123"],
        ["2345", "A-123 45"],
    ),
    ("upgrade to v1.2.3 now", ["1.2.3", "v1.2.3", "1.2", '"1.2.3 now"'], ["1.3", "2.1"]),
    (
        "see foo/bar and src/lib/main.py",
        ["bar", "foo/bar", "lib/main.py", "main", ".py"],
        ["bar/foo"],
    ),
    (
        "host www.example.com, mail ada.king@example.org",
        ["example.com", "www.example.com", "ada.king@example.org", "example.org", "king"],
        ["org.example"],
    ),
    ("it costs 1,299 or 5'000", ["1,299", "1299", "299", "5000", "5'000"], ["12 99", "2991"]),
    ("call 555-123-4567", ["123-4567", "5551234567", "4567", "555-123"], ["1234 567", "4567-123"]),
    (
        "getUserName and parse_http_header",
        ["user", "getusername", "getUserN", "http", "http_header"],
        ["sername"],
    ),
    ("utf8 on x86, GPT4", ["86", "x86", "utf", "gpt", "8"], ["x8 6"]),
    ("we write C++ and C# here", ["C++", "c#", "C"], ["F#", "D++", ".C"]),
    ("the language C", ["C"], ["C++", "C#"]),
    ("ASP.NET and .NET", [".NET", "asp.net", "net"], [".ASP"]),
    ("a fishing net", ["net"], [".NET"]),
    ("I don't know O’Brien", ["don't", "dont", "don’t", "o'brien", "obrien", "brien"], ["ont"]),
    (
        "the e-mail of L'Oréal",
        ["email", "e-mail", "mail", "oreal", "l’oréal", "loreal"],
        ["emai l"],
    ),
    ("party 🎉👍🏽 in 🇫🇷", ["🎉", "👍", "👍🏿", "party 🎉"], ["😀", "🎉🎉"]),
    ("costs 20 € → buy", ["€", "→", "20 €"], ["£"]),
    (
        "Größe und Straße, Weiß",
        ["grosse", "größe", "STRASSE", "strasse", "GRÖSSE", "weiss"],
        ["grease"],
    ),
    (
        "un café très naïf à la crème brûlée",
        ["cafe", "café", "CAFÉ", "naif", "creme brulee"],
        ["caffè"],
    ),
    ("İstanbul ve Diyarbakır", ["istanbul", "İSTANBUL", "ISTANBUL", "diyarbakir"], ["stanbul"]),
    ("Łódź, Đà Nẵng, Ærø", ["lodz", "łódź", "da nang", "aero"], ["odz"]),
    ("Привет, Ёлка и Київ", ["привет", "ПРИВЕТ", "елка", "ёлка", "київ"], ["ривет"]),
    ("Ο ΔΡΟΜΟΣ και ο δρόμος", ["δρομος", "δρόμος", "ΔΡΌΜΟΣ"], ["ρομος"]),
    ("Հայաստան ԵՐԵՎԱՆ", ["հայաստան", "երեվան", "ՀԱՅԱՍՏԱՆ"], ["աստան"]),
    ("قَرَأْتُ الكِتَابَ", ["قرأت", "الكتاب", "قَرَأْتُ", "قرات"], ["كتب"]),
    ("שָׁלוֹם עוֹלָם", ["שלום", "שָׁלוֹם", "עולם"], ["לום"]),
    ("می‌شود ۱۲۳", ["میشود", "می‌شود", "123"], ["شود"]),
    ("नमस्ते दुनिया", ["नमस्ते", "दुनिया", "नमस्"], ["मस्ते"]),
    (
        "我今天在北京大学学习计算机科学。",
        ["北京", "大学", "北京大学", "计算机", "机", "我"],
        ["京北", "上海", "学大"],
    ),
    (
        "日本語のテキストを検索する",
        ["日本", "テキスト", "検索", "本語の", "ｷｽﾄ", "の"],
        ["本日", "トス"],
    ),
    ("ภาษาไทยไม่มีช่องว่าง", ["ไทย", "ภาษา", "ช่องว่าง", "ท"], ["ลาว", "ยไท"]),
    ("ភាសាខ្មែរពិរោះ", ["ខ្មែរ", "ភាសា"], ["ថៃ"]),
    ("ພາສາລາວມ່ວນ", ["ລາວ", "ພາສາ"], ["ໄທ"]),
    ("မြန်မာဘာသာစကား", ["မြန်မာ", "စကား"], ["ထိုင်း"]),
    ("저는 학교에서 한국어를 배웁니다", ["학교", "한국어", "한국", "학교에서"], ["국한", "일본"]),
    ("ＦＵＬＬ　ｗｉｄｔｈ １２３", ["full", "width", "123", "ｆｕｌｌ"], ["ull"]),
    ("ﬁne x² and ½", ["fine", "x2"], ["ine"]),
]


async def test_a_search_finds_parts_of_identifiers_and_words_of_any_script(
    searched: Searched,
) -> None:
    for number, (text, _, _) in enumerate(TEXTS):
        searched.add(str(number), text)
    scan = replace(searched, by_index=False)
    wrong: list[str] = []
    for number, (text, found, missed) in enumerate(TEXTS):
        for words, is_found in [
            *((each, True) for each in found),
            *((each, False) for each in missed),
        ]:
            forms = {words, normalize("NFC", words), normalize("NFD", words)}
            for each in forms:
                conversations = await searched.find(each, page_size=200)
                if await scan.find(each, page_size=200) != conversations:
                    wrong.append(f"{each!r} is another by scan")
                excerpts = {
                    searched.names[conversation.id]: conversation.excerpt
                    for conversation in conversations
                }
                if (str(number) in excerpts) != is_found:
                    wrong.append(f"{each!r} in {text!r}: {not is_found}")
                if is_found and "\x02" not in excerpts.get(str(number), "\x02"):
                    wrong.append(f"{each!r} is not marked in {text!r}")
    assert wrong == []


async def test_a_search_finds_a_text_in_either_unicode_form(searched: Searched) -> None:
    searched.add("one", normalize("NFD", "Crème brûlée, 한국어, が"))

    for words in ("crème", "creme", "한국", "が", normalize("NFD", "brûlée")):
        assert await searched.names_of(words) == ["one"], words


async def test_an_excerpt_shows_whole_words_in_their_own_spelling(searched: Searched) -> None:
    searched.add("accents", normalize("NFD", "Eine schöne Straße in Köln."))
    searched.add("sentence", "我今天在北京大学学习。")
    searched.add("identifier", "call getUserName() of foo-bar")

    assert await searched.excerpt_of("koln") == normalize(
        "NFD", "Eine schöne Straße in <mark>Köln</mark>."
    )
    assert await searched.excerpt_of("strasse") == normalize(
        "NFD", "Eine schöne <mark>Straße</mark> in Köln."
    )
    assert await searched.excerpt_of("北京") == "我今天在<mark>北京</mark>大学学习。"
    assert await searched.excerpt_of("foobar") == "call getUserName() of <mark>foo-bar</mark>"
    assert await searched.excerpt_of("user") == "call get<mark>User</mark>Name() of foo-bar"


async def test_an_excerpt_shows_the_place_with_the_most_words(searched: Searched) -> None:
    filler = " é filler" * 300
    searched.add("one", f"walrus{filler} seal{filler} a walrus and a seal{filler}")

    excerpt = await searched.excerpt_of("seal walrus")

    assert "a <mark>walrus</mark> and a <mark>seal</mark>" in excerpt
    assert len(excerpt) < 400


async def test_a_text_is_searched_up_to_its_two_thousandth_distinct_word(
    searched: Searched,
) -> None:
    searched.add(
        "one",
        " ".join(f"{number}a" for number in range(1990))
        + " walrus "
        + "".join(map(chr, range(0x4E00, 0x6000)))
        + " seal",
    )

    assert await searched.names_of("walrus") == ["one"]
    assert await searched.names_of("seal") == []
