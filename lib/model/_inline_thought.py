"""Thoughts that a provider sends as the beginning of the text, between tags."""

# How thought begins and ends in content: the first with most open models, the third at Gemini's
# endpoint, the last with Mistral's open models.
THOUGHT_TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "[THINK]": "[/THINK]",
}
# White space before the tag. A model that says nothing else finds no end.
MAX_BLANK_CHARS = 100


class InlineThought:
    """Tells thought from text where a provider sends both as content: `<think>…</think>Hello`.

    Only at the beginning of the content: later on, a tag is a part of the text. A chat template may
    have written the beginning tag itself, so that the content begins with the thought and no tag.
    Such a thought stays text, because its first words are shown before the ending tag comes; but an
    ending tag with nothing before it is removed.

    Attributes:
        is_over: the content is past any thought.
    """

    def __init__(self) -> None:
        """Stand before the content."""
        self.is_over = False
        self._waiting = ""
        self._place = "before"
        self._end_tag = ""
        self._has_thought = False

    def split(self, content: str) -> tuple[str, str]:
        """Return the thought and the text in the next piece of the content."""
        content, self._waiting = self._waiting + content, ""
        thought = ""
        if self._place == "before":
            content = self._begin(content)
        if self._place == "within":
            thought, content = self._go_on(content)
        if self._place == "after":
            # Blank lines between the thought and the text.
            content = content.lstrip()
            self.is_over = bool(content)
        return thought, content

    def end(self) -> tuple[str, str]:
        """Return the beginning of a tag that did not go on, as thought and as text."""
        waiting, self._waiting = self._waiting, ""
        return (waiting.rstrip(), "") if self._place == "within" else ("", waiting)

    def _begin(self, content: str) -> str:
        begin = content.lstrip()
        for begin_tag, end_tag in THOUGHT_TAGS.items():
            if begin.startswith(begin_tag):
                self._place, self._end_tag = "within", end_tag
                return begin[len(begin_tag) :]
            if begin.startswith(end_tag):
                self._place = "after"
                return begin[len(end_tag) :]
        may_be_tag = any(tag.startswith(begin) for tags in THOUGHT_TAGS.items() for tag in tags)
        if may_be_tag and len(content) <= MAX_BLANK_CHARS:
            self._waiting = content
            return ""
        self.is_over = True
        return content

    def _go_on(self, content: str) -> tuple[str, str]:
        if not self._has_thought:
            # Some models think nothing, in blank lines.
            content = content.lstrip()
            self._has_thought = bool(content)
        thought, tag, text = content.partition(self._end_tag)
        if tag:
            self._place = "after"
            return thought.rstrip(), text
        for length in range(min(len(content), len(self._end_tag) - 1), 0, -1):
            if content.endswith(self._end_tag[:length]):
                thought = content[:-length]
                break
        # Blank lines before the tag are no part of the thought either.
        thought = thought.rstrip()
        self._waiting = content[len(thought) :]
        return thought, ""
