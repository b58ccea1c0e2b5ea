"""Audit words: what the report of an audit says in English and Spanish."""

from bioacoustics.audio.sound_checks import Fault
from bioacoustics.data.timelines import Flag
from bioacoustics.formats.words import Language

TEXTS: dict[str, dict[Language, str]] = {
    "title": {"en": "Audit of {folder}", "es": "Revisión de {folder}"},
    "lead": {
        "en": "What the recordings are, when and where they were made, and what is wrong with them, "
        "before any model hears them. The tables beside this page have every file.",
        "es": "Qué grabaciones hay, cuándo y dónde se hicieron y qué problemas tienen, antes de que las "
        "escuche un modelo. Las tablas junto a esta página contienen cada archivo.",
    },
    "recordings": {"en": "recordings", "es": "grabaciones"},
    "hours": {"en": "hours", "es": "horas"},
    "size": {"en": "size", "es": "tamaño"},
    "sites": {"en": "Sites", "es": "Sitios"},
    "site_days": {"en": "site-days", "es": "días por sitio"},
    "doubtful": {"en": "to look at", "es": "por revisar"},
    "unusable": {"en": "Files that cannot be used", "es": "Archivos inutilizables"},
    "attention": {"en": "What needs your attention", "es": "Lo que requiere su atención"},
    "attention_text": {
        "en": "Nothing is hidden or repaired here. Times were checked in all recordings; sound was "
        "checked in a few seconds of {heard} of them.",
        "es": "Aquí nada se oculta ni se corrige. La hora se revisó en todas las grabaciones; el "
        "sonido, en unos segundos de {heard} de ellas.",
    },
    "all_well": {"en": "Nothing was found wrong.", "es": "No se encontró ningún problema."},
    "what": {"en": "what", "es": "qué"},
    "files": {"en": "files", "es": "archivos"},
    "remedy": {"en": "what to do", "es": "qué hacer"},
    "examples": {"en": "for example", "es": "por ejemplo"},
    "calendar": {"en": "When each site recorded", "es": "Cuándo grabó cada sitio"},
    "calendar_text": {
        "en": "One row a site, one column a day, on the site's own clock; the darker, the more hours. "
        "White days have nothing.",
        "es": "Una fila por sitio y una columna por día, según el reloj del sitio; cuanto más oscuro, "
        "más horas. En los días blancos no hay nada.",
    },
    "no_dates": {
        "en": "No header and no file name tells a date. The times of the files themselves are no "
        "evidence, since copying changes them; write a table of deployments, or name the files like "
        "SITE_20240301_053000.wav.",
        "es": "Ni los encabezados ni los nombres de archivo dicen una fecha. La hora de los propios "
        "archivos no es prueba, pues cambia al copiarlos; use nombres como SITIO_20240301_053000.wav.",
    },
    "no_site": {"en": "(no site)", "es": "(sin sitio)"},
    "sites_text": {
        "en": "A site is the word before the date in the file's name, or the folder, or the recorder, "
        "unless a table of deployments says otherwise. The level is the median, in dB of full scale.",
        "es": "El sitio es la palabra antes de la fecha en el nombre, o la carpeta, o la grabadora, "
        "salvo que una tabla de instalaciones diga otra cosa. El nivel es la mediana, en dB de la "
        "escala completa.",
    },
    "site": {"en": "site", "es": "sitio"},
    "first": {"en": "first", "es": "primera"},
    "last": {"en": "last", "es": "última"},
    "zone": {"en": "UTC offset", "es": "desfase UTC"},
    "source": {"en": "time from", "es": "hora según"},
    "source_header": {"en": "header", "es": "encabezado"},
    "source_guano": {"en": "GUANO", "es": "GUANO"},
    "source_name": {"en": "file name", "es": "nombre"},
    "source_file_time": {"en": "file time (a guess)", "es": "hora del archivo (dudosa)"},
    "source_unknown": {"en": "unknown", "es": "desconocida"},
    "level": {"en": "level", "es": "nivel"},
    "recorder": {"en": "recorder", "es": "grabadora"},
    "battery": {"en": "battery", "es": "batería"},
    "temperature": {"en": "temperature", "es": "temperatura"},
    "gaps": {"en": "Gaps against the schedule", "es": "Huecos respecto del horario"},
    "gaps_text": {
        "en": "Hours with less than half of what the site records at that time on its median day; or, "
        "with fewer than three days, pauses more than twice as long as usual. Largest first.",
        "es": "Horas con menos de la mitad de lo que el sitio graba a esa hora en su día mediano; o, "
        "con menos de tres días, pausas de más del doble de lo habitual. Primero las mayores.",
    },
    "no_gaps": {
        "en": "None: no site recorded less than it usually does at that time of day.",
        "es": "Ninguno: ningún sitio grabó menos de lo que suele a esa hora.",
    },
    "from": {"en": "from", "es": "desde"},
    "to": {"en": "to", "es": "hasta"},
    "missing": {"en": "hours missing", "es": "horas que faltan"},
    "day_sounds": {"en": "What a day sounds like", "es": "Cómo suena un día"},
    "day_sounds_text": {
        "en": "Mean level by hour of the day and frequency, on one scale for all sites; in brackets, "
        "how many recordings. Bright is loud: choruses are bright at their hours, insects are flat "
        "bands, wind and rain are low and broad. A line at one frequency at all hours is usually the "
        "recorder itself.",
        "es": "Nivel medio por hora del día y frecuencia, con una misma escala para todos los sitios; "
        "entre paréntesis, cuántas grabaciones. Lo claro es fuerte: los coros brillan a sus horas, los "
        "insectos son bandas planas, el viento y la lluvia son graves y anchos. Una línea a todas horas "
        "suele ser la propia grabadora.",
    },
    "file": {"en": "file", "es": "archivo"},
    "reason": {"en": "reason", "es": "motivo"},
    "more_rows": {
        "en": "… and {number} more, in the tables beside this page.",
        "es": "… y {number} más, en las tablas junto a esta página.",
    },
    "kinds": {
        "en": "Formats, sample rates and channels",
        "es": "Formatos, frecuencias de muestreo y canales",
    },
    "container": {"en": "format", "es": "formato"},
    "rate": {"en": "sample rate (Hz)", "es": "muestreo (Hz)"},
    "channels": {"en": "channels", "es": "canales"},
    "estimate": {"en": "Time and disk for embedding", "es": "Tiempo y disco para extraer vectores"},
    "estimate_text": {
        "en": "Measured on this machine with {measured:.0f} s of these recordings.",
        "es": "Medido en este equipo con {measured:.0f} s de estas grabaciones.",
    },
    "no_estimate": {
        "en": "Give a checkpoint with --model_path, and it will be timed here on 30 s of these recordings.",
        "es": "Indique un modelo con --model_path y aquí se medirá con 30 s de estas grabaciones.",
    },
    "time": {"en": "for all recordings", "es": "para todas las grabaciones"},
    "speed": {"en": "real time", "es": "tiempo real"},
    "windows": {"en": "windows", "es": "ventanas"},
    "table_size": {"en": "table of embeddings", "es": "tabla de vectores"},
    "device": {"en": "device", "es": "dispositivo"},
    "slower": {"en": "what it waits for", "es": "lo que más tarda"},
    "model": {"en": "the model", "es": "el modelo"},
    "reading": {"en": "reading", "es": "la lectura"},
    "next_deployments": {
        "en": "Some times have no zone or are guesses. Write deployments.csv with the columns folder "
        "(or recorder), site, latitude, longitude, zone, clock_offset_s, and look again:",
        "es": "Algunas horas no tienen huso o son dudosas. Escriba deployments.csv con las columnas "
        "folder (o recorder), site, latitude, longitude, zone, clock_offset_s y revise otra vez:",
    },
    "next_unusable": {
        "en": "Copy the files that cannot be used from the card again, or leave them: all commands pass "
        "over them and say so.",
        "es": "Copie otra vez de la tarjeta los archivos inutilizables, o déjelos: todos los comandos "
        "los omiten y lo dicen.",
    },
    "next_embed": {
        "en": "Turn the recordings into vectors:",
        "es": "Convierta las grabaciones en vectores:",
    },
    "next_embed_slowed": {
        "en": "Turn the recordings into vectors. Most of them are ultrasonic: let the model hear them slowed "
        "down, or it hears nothing above 8 kHz. Times and frequencies stay true.",
        "es": "Convierta las grabaciones en vectores. Casi todas son ultrasónicas: haga que el modelo las "
        "oiga más lentas, o no oirá nada por encima de 8 kHz. Los tiempos y las frecuencias siguen siendo "
        "los verdaderos.",
    },
}

# Meaning and remedy of each mark, the worst first.
MARKS: dict[Flag | Fault, dict[Language, tuple[str, str]]] = {
    Fault.SILENT: {
        "en": ("digital silence", "check microphone and cable of the recorder"),
        "es": ("silencio digital", "revise el micrófono y el cable de la grabadora"),
    },
    Fault.DEAD_CHANNEL: {
        "en": ("one channel is dead", "choose another with --channel; check that microphone"),
        "es": ("un canal está muerto", "elija otro con --channel; revise ese micrófono"),
    },
    Fault.FAINT: {
        "en": ("very faint: below -75 dB", "look for a covered or damaged microphone, or raise the gain"),
        "es": ("muy débil: menos de -75 dB", "busque un micrófono tapado o dañado, o suba la ganancia"),
    },
    Fault.CLIPPED: {
        "en": ("clipping: the level went over full scale", "lower the gain next time"),
        "es": ("saturación: el nivel superó el máximo", "baje la ganancia la próxima vez"),
    },
    Fault.DAMAGED: {
        "en": ("damaged, or ends before its header says", "copy it from the card again; the rest is used"),
        "es": (
            "dañado, o termina antes de lo que dice el encabezado",
            "cópielo otra vez de la tarjeta; el resto se usa",
        ),
    },
    Fault.NAN: {
        "en": ("samples that are no numbers", "nothing: they are taken as silence"),
        "es": ("muestras que no son números", "nada: se toman como silencio"),
    },
    Fault.DC: {
        "en": ("a constant offset (DC)", "nothing: models remove it; the recorder may need a repair"),
        "es": (
            "un desplazamiento constante (DC)",
            "nada: los modelos lo quitan; quizá deba repararse la grabadora",
        ),
    },
    Fault.SHORT: {
        "en": ("less than 0.1 s of sound", "remove it, if it is no trigger's blink"),
        "es": ("menos de 0,1 s de sonido", "bórrelo, si no viene de un disparador"),
    },
    Flag.UNSET_CLOCK: {
        "en": ("dated before 2000: the clock was not set", "give clock_offset_s in the table of deployments"),
        "es": (
            "fecha anterior a 2000: el reloj no estaba puesto",
            "indique clock_offset_s en la tabla de instalaciones",
        ),
    },
    Flag.FUTURE: {
        "en": ("dated in the future", "give clock_offset_s in the table of deployments"),
        "es": ("fecha en el futuro", "indique clock_offset_s en la tabla de instalaciones"),
    },
    Flag.CLOCK_JUMP: {
        "en": (
            "the clock jumped: far from the recorder's other dates, or before the file numbered before it",
            "give its folder a row of its own with clock_offset_s",
        ),
        "es": (
            "el reloj saltó: lejos de las otras fechas de la grabadora, o antes que el archivo anterior",
            "dé a su carpeta una fila propia con clock_offset_s",
        ),
    },
    Flag.NAME_DIFFERS: {
        "en": (
            "name and header tell different times",
            "the header is believed; was the file renamed or cut?",
        ),
        "es": (
            "el nombre y el encabezado dicen horas distintas",
            "se cree al encabezado; ¿se renombró o recortó el archivo?",
        ),
    },
    Flag.COPY: {
        "en": ("the same content as another file", "keep one, so that nothing counts twice"),
        "es": ("el mismo contenido que otro archivo", "conserve uno, para no contar nada dos veces"),
    },
    Flag.SAME_START: {
        "en": (
            "another file of the recorder starts at the same moment",
            "clips of one recording? Keep them together when you split; else remove copies",
        ),
        "es": (
            "otro archivo de la grabadora empieza en el mismo momento",
            "¿recortes de una grabación? Manténgalos juntos al dividir; si no, borre las copias",
        ),
    },
    Flag.OVERLAP: {
        "en": (
            "starts before the recorder's previous file ends",
            "check the clock, or whether two sites share a name",
        ),
        "es": (
            "empieza antes de que termine el archivo anterior",
            "revise el reloj, o si dos sitios comparten nombre",
        ),
    },
    Flag.DOUBTFUL_HOUR: {
        "en": (
            "an hour that exists twice or not at all",
            "write the offset (like -05:00) in place of the zone",
        ),
        "es": ("una hora que existe dos veces o ninguna", "escriba el desfase (como -05:00) en vez del huso"),
    },
    Flag.STOPPED: {
        "en": ("the recorder says that it stopped early", "the table of files has its reason"),
        "es": ("la grabadora dice que paró antes de tiempo", "la tabla de archivos da el motivo"),
    },
    Flag.LOW_BATTERY: {
        "en": ("low battery", "change it sooner; what follows may be missing"),
        "es": ("batería baja", "cámbiela antes; puede faltar lo que sigue"),
    },
    Flag.NO_ZONE: {
        "en": ("time without a zone", "write the zone in a table of deployments"),
        "es": ("hora sin huso horario", "escriba el huso (zone) en una tabla de instalaciones"),
    },
    Flag.GUESSED_TIME: {
        "en": ("only the file's own time is known, a guess", "rename the files, or do not use their times"),
        "es": ("solo se conoce la hora del archivo, dudosa", "renombre los archivos, o no use su hora"),
    },
}

# What is wrong with a file, as the audio floor says it; the longest key that fits comes first.
REASONS: dict[str, str] = {
    "it is empty (0 bytes)": "está vacío (0 bytes)",
    "it holds no samples: the recorder stopped before it wrote any sound": (
        "no contiene muestras: la grabadora se detuvo antes de escribir sonido"
    ),
    "it is a text file, not sound": "es un archivo de texto, no de sonido",
    "its header is damaged or cut off": "su encabezado está dañado o cortado",
    "no decoder knows what it is": "ningún decodificador lo reconoce",
    "it is a link that leads nowhere": "es un enlace que no lleva a ninguna parte",
    "there is no such file": "no existe tal archivo",
    "it cannot be opened": "no se puede abrir",
    "it has no sound track": "no tiene pista de sonido",
    "no sound can be decoded": "no se puede decodificar ningún sonido",
    "its bit rate varies and it does not tell its length": "su tasa de bits varía y no dice su duración",
    "AAC and WMA sound needs one more package": "el sonido AAC y WMA requiere un paquete más",
}
