"""Season: what the panel of a new season says."""

WORDS: dict[str, tuple[str, str]] = {
    "season_choose": ("Windows that come to this map", "Ventanas que llegan a este mapa"),
    "season_none": ("none", "ninguna"),
    "season_same_store": ("this store, from a date on", "este almacén, desde una fecha"),
    "season_date": ("From", "Desde"),
    "season_reading": ("Reading the new season …", "Leyendo la nueva temporada …"),
    "season_help": (
        "The map stays as it is, and windows of another season are placed on it: those of a store beside "
        "this one (or of --season OTHER.lance) that the same model made, or those of this store from a date "
        "on. What is unlike all that the map was made of is marked as new.",
        "El mapa queda como está y se colocan en él las ventanas de otra temporada: las de un almacén junto "
        "a este (o de --season OTRO.lance) hecho con el mismo modelo, o las de este almacén desde una fecha. "
        "Lo que no se parece a nada de lo que formó el mapa se marca como nuevo.",
    ),
    "season_placing": (
        "The windows of the new season are being placed on the map …",
        "Se están colocando en el mapa las ventanas de la nueva temporada …",
    ),
    "season_placed": (
        "**{windows} windows placed on the map; {novel} of them ({share:.0%}) are new.**",
        "**{windows} ventanas colocadas en el mapa; {novel} de ellas ({share:.0%}) son nuevas.**",
    ),
    "season_novel_help": (
        "New: farther from what is known than {share:.0%} of the known windows are from each other's "
        "recordings; of a season like the one before, about one in a hundred is.",
        "Nueva: más lejos de lo conocido que el {share:.0%} de las ventanas conocidas de las otras "
        "grabaciones; en una temporada como la anterior lo es cerca de una de cada cien.",
    ),
    "season_shared": (
        "Windows that both stores have, and which are not new: {number}.",
        "Ventanas que ambos almacenes tienen y que no son nuevas: {number}.",
    ),
    "season_column_file": ("recording", "grabación"),
    "season_column_novel": ("new", "nuevas"),
    "season_column_windows": ("windows", "ventanas"),
    "season_hear": ("Hear what is new", "Escuche lo nuevo"),
    "season_select": ("Select the new ones ({number})", "Seleccionar las nuevas ({number})"),
}
