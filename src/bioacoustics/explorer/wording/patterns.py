"""Patterns: what the panel of patterns in time says."""

WORDS: dict[str, tuple[str, str]] = {
    "patterns_view": ("View", "Vista"),
    "patterns_season": ("Days and hours", "Días y horas"),
    "patterns_hours": ("Activity", "Actividad"),
    "patterns_recording": ("One recording", "Una grabación"),
    "patterns_follows_what": ("What follows what", "Qué sigue a qué"),
    "no_times": (
        "No recording says when it was made. Times come from headers, GUANO or file names such as "
        "SITE_20260301_220000.wav.",
        "Ninguna grabación dice cuándo se hizo. Las horas vienen de la cabecera, de GUANO o de nombres como "
        "SITIO_20260301_220000.wav.",
    ),
    "season_of": ("Of what", "De qué"),
    "season_hours_help": (
        "By the local clock; empty where nothing was recorded.",
        "Según el reloj local; vacío donde no se grabó nada.",
    ),
    "days_folded": (
        "{days} days are shown in {rows} rows: days without recordings are left out, and of more than fit "
        "a row is the mean of several.",
        "{days} días se muestran en {rows} filas: los días sin grabaciones se omiten y, si aún no caben, una "
        "fila es la media de varios.",
    ),
    "sun_drawn": ("Lines: sunrise and sunset.", "Líneas: salida y puesta del sol."),
    "sunrise": ("sunrise", "salida del sol"),
    "sunset": ("sunset", "puesta del sol"),
    "per_hour": ("windows per recorded hour", "ventanas por hora grabada"),
    "mean_score": ("mean score", "puntuación media"),
    "hour_of_day": ("hour of the day", "hora del día"),
    "activity_by_hour": ("By hour of the day", "Por hora del día"),
    "activity_by_day": ("By day", "Por día"),
    "effort_help": (
        "Windows per recorded hour ({hours:.1f} h in all, by the lengths of the recordings), so that "
        "more recording is not more activity.",
        "Ventanas por hora grabada ({hours:.1f} h en total, según la duración de las grabaciones), para que "
        "grabar más no parezca más actividad.",
    ),
    "effort_sampled": (
        "The windows are a sample of {hours:.1f} recorded hours: the share of the drawn windows of an hour "
        "stands for all {windows:.0f} that an hour of recording has.",
        "Las ventanas son una muestra de {hours:.1f} horas grabadas: la parte de las ventanas sorteadas de "
        "una hora vale por las {windows:.0f} que tiene una hora de grabación.",
    ),
    "recording": ("Recording", "Grabación"),
    "line_wait": ("The recording is being looked through …", "Se está recorriendo la grabación …"),
    "line_whole": ("Whole recording", "Grabación completa"),
    "line_help": (
        "A click shows and plays the window there; drag over a part to see it closer.",
        "Un clic muestra y reproduce esa ventana; arrastre sobre una parte para verla de cerca.",
    ),
    "line_rule": (
        "Each of the {columns} columns shows the {piece:g} s at its beginning: {heard:.0f} s of sound were "
        "read, whatever lies between them is not in the picture.",
        "Cada una de las {columns} columnas muestra los {piece:g} s de su comienzo: se leyeron {heard:.0f} s "
        "de sonido; lo que hay entre ellos no está en la imagen.",
    ),
    "line_cut": (
        "This format is decoded from its beginning: only the first {minutes} minutes are looked through.",
        "Este formato se decodifica desde el comienzo: solo se recorren los primeros {minutes} minutos.",
    ),
    "draw_way": ("Draw its way", "Trazar su camino"),
    "forget_way": ("Forget the way", "Quitar el camino"),
    "nothing_follows": (
        "No two named windows follow each other in a recording.",
        "No hay dos ventanas con nombre seguidas en una grabación.",
    ),
    "before": ("before", "antes"),
    "after": ("after", "después"),
    "transitions_help": (
        "Each row: what follows in the same recording, as shares.",
        "Cada fila: qué sigue en la misma grabación, en partes.",
    ),
}
