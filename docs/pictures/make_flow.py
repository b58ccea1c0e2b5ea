"""Draw the flow picture of both READMEs, flow.en.svg and flow.es.svg: `python docs/pictures/make_flow.py`."""

from pathlib import Path

BOX = (
    '<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="10" '
    'fill="{fill}" stroke="{stroke}" stroke-width="1.5"/>'
)
INK, PAPER = "#1d2b36", "#ffffff"
SOUND, LEARN, USE = ("#e8f1ea", "#3b7a57"), ("#fdf1dd", "#b7791f"), ("#e6eef8", "#2b5c9e")

TEXTS = {
    "en": {
        "title": "From a folder of recordings to a model that knows its animals",
        "recordings": ("your recordings", "no labels needed"),
        "labels": ("labels.csv", "a few labelled clips"),
        "pretrain": ("pretrain", "hides patches of the spectrogram", "and learns to imagine them"),
        "finetune": ("finetune", "learns your labels", "from few examples"),
        "embed": ("embed", "one vector per window"),
        "predict": ("predict", "one row per clip"),
        "encoder": "encoder",
        "classifier": "classifier",
    },
    "es": {
        "title": "De una carpeta de grabaciones a un modelo que conoce sus animales",
        "recordings": ("sus grabaciones", "sin etiquetas"),
        "labels": ("labels.csv", "algunos clips ya oídos"),
        "pretrain": ("pretrain", "oculta partes del espectrograma", "y aprende a imaginarlas"),
        "finetune": ("finetune", "aprende sus etiquetas", "con pocos ejemplos"),
        "embed": ("embed", "un vector por ventana"),
        "predict": ("predict", "una fila por clip"),
        "encoder": "codificador",
        "classifier": "clasificador",
    },
}


def box(x: int, y: int, w: int, h: int, colours: tuple[str, str], lines: tuple[str, ...], mono: bool) -> str:
    """A rounded box with a bold first line and smaller lines below it."""
    parts = [BOX.format(x=x, y=y, w=w, h=h, fill=colours[0], stroke=colours[1])]
    middle, top = x + w / 2, y + h / 2 - 9 * (len(lines) - 1)
    for i, line in enumerate(lines):
        family = "ui-monospace, Menlo, Consolas, monospace" if mono and i == 0 else "system-ui, sans-serif"
        size, weight = (17, 700) if i == 0 else (13, 400)
        parts.append(
            f'<text x="{middle}" y="{top + 5 + 19 * i}" text-anchor="middle" font-family="{family}" '
            f'font-size="{size}" font-weight="{weight}" fill="{INK}">{line}</text>'
        )
    return "".join(parts)


def arrow(points: str, label: str = "", at: tuple[int, int] = (0, 0)) -> str:
    """A line with a head, and words beside it."""
    line = (
        f'<polyline points="{points}" fill="none" stroke="{INK}" stroke-width="1.8" marker-end="url(#head)"/>'
    )
    if not label:
        return line
    return line + (
        f'<text x="{at[0]}" y="{at[1]}" text-anchor="middle" font-family="system-ui, sans-serif" '
        f'font-size="12" font-style="italic" fill="{INK}">{label}</text>'
    )


def picture(language: str) -> str:
    """The whole picture as SVG."""
    words = TEXTS[language]
    body = [
        f'<rect width="880" height="330" rx="14" fill="{PAPER}"/>',
        f'<text x="440" y="36" text-anchor="middle" font-family="system-ui, sans-serif" font-size="19" '
        f'font-weight="600" fill="{INK}">{words["title"]}</text>',
        box(24, 86, 170, 76, SOUND, words["recordings"], mono=False),
        box(24, 220, 170, 76, SOUND, words["labels"], mono=True),
        box(268, 70, 250, 108, LEARN, words["pretrain"], mono=True),
        box(268, 212, 250, 92, LEARN, words["finetune"], mono=True),
        box(640, 86, 210, 76, USE, words["embed"], mono=True),
        box(640, 220, 210, 76, USE, words["predict"], mono=True),
        arrow("194,124 264,124"),
        arrow("194,258 264,258"),
        arrow("393,178 393,208"),
        arrow("518,124 636,124", words["encoder"], (577, 116)),
        arrow("518,258 636,258", words["classifier"], (577, 250)),
    ]
    head = (
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>'
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 330" role="img" '
        f'aria-label="{words["title"]}">{head}{"".join(body)}</svg>\n'
    )


if __name__ == "__main__":
    for language in TEXTS:
        path = Path(__file__).with_name(f"flow.{language}.svg")
        path.write_text(picture(language), encoding="utf-8")
