"""Page: what it says around its panels, in English and Spanish."""

WORDS: dict[str, tuple[str, str]] = {
    "title": ("Explorer", "Explorador"),
    "summary": (
        "{windows} windows · {recordings} recordings",
        "{windows} ventanas · {recordings} grabaciones",
    ),
    "sampled": (
        "{taken} of {windows} windows, drawn evenly over recordings and time",
        "{taken} de {windows} ventanas, sorteadas por igual entre grabaciones y horas",
    ),
    "language": ("Language", "Idioma"),
    "tour": ("Tour", "Recorrido"),
    # preparing
    "preparing": ("Preparing your recordings", "Preparando sus grabaciones"),
    "preparing_help": (
        "Each window becomes a vector. This happens once: the next visit opens at once, and an "
        "interrupted one goes on.",
        "Cada ventana se convierte en un vector. Ocurre una sola vez: la próxima visita abre al "
        "instante, y una interrumpida continúa.",
    ),
    "stage_model": ("loading the model", "cargando el modelo"),
    "stage_headers": ("reading the headers of the recordings", "leyendo las cabeceras de las grabaciones"),
    "stage_embedding": ("listening: window {done} of {total}", "escuchando: ventana {done} de {total}"),
    "stage_done": ("done", "listo"),
    "cancel": ("Cancel", "Cancelar"),
    "cancelled": ("Cancelled; what was done is kept.", "Cancelado; lo hecho se conserva."),
    "go_on": ("Go on", "Continuar"),
    "cannot_open": ("This cannot be opened", "Esto no se puede abrir"),
    "not_local": (
        "This page is for the machine that runs it. Start it with `bioacoustics explore`, which binds"
        " to 127.0.0.1, and reach it from elsewhere through an SSH tunnel.",
        "Esta página es para la máquina que la ejecuta. Iníciela con `bioacoustics explore`, que solo"
        " escucha en 127.0.0.1, y llegue a ella desde fuera por un túnel SSH.",
    ),
    "unforeseen": (
        "Something went wrong that was not foreseen: {reason}",
        "Algo imprevisto salió mal: {reason}",
    ),
    # work in the background
    "work_failed": ("This could not be computed: {reason}", "Esto no se pudo calcular: {reason}"),
    "work_cancelled": ("Cancelled.", "Cancelado."),
    "work_again": ("Try again", "Intentar de nuevo"),
    "step_starting": ("beginning …", "comenzando …"),
    "step_done": ("done", "listo"),
    "step_reading": ("reading the windows", "leyendo las ventanas"),
    "step_components": ("principal components", "componentes principales"),
    "step_neighbours": ("looking for neighbours", "buscando vecinas"),
    "step_iterations": ("iteration {done} of {total}", "iteración {done} de {total}"),
    "step_arranging": ("arranging the windows", "ordenando las ventanas"),
    "step_placing": ("placing windows on the map", "colocando ventanas en el mapa"),
    "step_novelty": ("measuring what is new", "midiendo lo que es nuevo"),
    "step_clusters": ("looking for groups", "buscando grupos"),
    "step_comparing_clusters": ("trying {done} groups", "probando {done} grupos"),
    "step_teaching": ("learning label {done} of {total}", "aprendiendo la etiqueta {done} de {total}"),
    "step_growing": ("learning from part {done} of {total}", "aprendiendo de la parte {done} de {total}"),
    "step_headers": (
        "reading the headers of the recordings",
        "leyendo las cabeceras de las grabaciones",
    ),
    "step_loudness": ("measuring loudness: {done} of {total}", "midiendo el volumen: {done} de {total}"),
    "step_asking": ("asking question {done} of {total}", "haciendo la pregunta {done} de {total}"),
    "step_following": ("what components follow", "qué siguen los componentes"),
    "step_first_model": ("questions to this model", "preguntas a este modelo"),
    "step_second_model": ("questions to the other model", "preguntas al otro modelo"),
    "step_overview": ("looking through the recording", "recorriendo la grabación"),
    # panels
    "panel_season": ("New season", "Nueva temporada"),
    "panel": ("Panel", "Panel"),
    "panel_clusters": ("Clusters", "Grupos"),
    "panel_export": ("Export", "Exportar"),
    "panel_components": ("Components", "Componentes"),
    "panel_patterns": ("Patterns in time", "Patrones en el tiempo"),
    "panel_teach": ("Teach", "Enseñar"),
    "panel_compare": ("Compare", "Comparar"),
    # tour
    "tour_1": (
        "**The map.** Each point is a window of a recording. Points that lie together sound alike to "
        "the model. Choose the method on the left; the map in use stays until the next is ready.",
        "**El mapa.** Cada punto es una ventana de una grabación. Los puntos cercanos le suenan "
        "parecido al modelo. Elija el método a la izquierda; el mapa actual queda hasta que el "
        "siguiente está listo.",
    ),
    "tour_2": (
        "**Listen.** Click a point: you see its spectrogram and hear exactly that window. Space "
        "plays, ← and → go on in time. Below are the windows that sound most like it.",
        "**Escuchar.** Haga clic en un punto: verá su espectrograma y oirá exactamente esa ventana. "
        "Espacio reproduce, ← y → avanzan en el tiempo. Debajo están las ventanas más parecidas.",
    ),
    "tour_3": (
        "**Select.** Draw a lasso on the map. Shift adds, Alt takes away, Esc forgets. Every panel "
        "works on what is selected.",
        "**Seleccionar.** Dibuje un lazo en el mapa. Mayús añade, Alt quita, Esc olvida. Todos los "
        "paneles trabajan con la selección.",
    ),
    "tour_4": (
        "**Group and name.** The panel below groups windows, plays typical and odd members, and keeps"
        " the names you give.",
        "**Agrupar y nombrar.** El panel de abajo agrupa ventanas, reproduce las típicas y las "
        "atípicas, y guarda los nombres que usted da.",
    ),
    "tour_5": (
        "**Take it with you.** Export tables, Raven and Audacity selections, clips and pictures. "
        "Nothing leaves this machine.",
        "**Lléveselo.** Exporte tablas, selecciones de Raven y Audacity, clips e imágenes. Nada sale "
        "de esta máquina.",
    ),
    "tour_next": ("Next", "Siguiente"),
    "tour_back": ("Back", "Atrás"),
    "tour_end": ("Close", "Cerrar"),
}
