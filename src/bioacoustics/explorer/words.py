"""Words: everything that the page says, in English and Spanish."""

from bioacoustics.explorer.panel_words import PANEL_WORDS
from bioacoustics.formats.words import Language

__all__ = ["WORDS", "Language", "word"]

WORDS: dict[str, tuple[str, str]] = {
    **PANEL_WORDS,
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
    # map
    "map": ("Map", "Mapa"),
    "method": ("Method", "Método"),
    "dimensions": ("Dimensions", "Dimensiones"),
    "pca_help": (
        "The directions in which windows differ most. Distances are true; groups may overlap.",
        "Las direcciones en que más difieren las ventanas. Las distancias son fieles; los grupos "
        "pueden solaparse.",
    ),
    "fast": ("Fast, not repeatable", "Rápido, no repetible"),
    "fast_help": (
        "Uses all cores; the same settings may give another map.",
        "Usa todos los núcleos; los mismos ajustes pueden dar otro mapa.",
    ),
    "seed": ("Seed", "Semilla"),
    "seed_help": ("The same seed gives the same map.", "La misma semilla da el mismo mapa."),
    "perplexity_help": (
        "How many neighbours each window looks at: small shows detail, large the whole.",
        "Cuántas vecinas mira cada ventana: pocas muestran el detalle, muchas el conjunto.",
    ),
    "exaggeration_help": (
        "How strongly groups are pulled together at first.",
        "Con qué fuerza se juntan los grupos al principio.",
    ),
    "learning_rate_help": (
        "0 chooses it by the number of windows.",
        "0 la elige según el número de ventanas.",
    ),
    "neighbours_help": (
        "Small shows detail, large the whole.",
        "Pocas muestran el detalle, muchas el conjunto.",
    ),
    "min_dist_help": ("How tightly points may lie.", "Qué tan juntos pueden estar los puntos."),
    "first_map": ("The first map is being computed …", "Se está calculando el primer mapa …"),
    "computing": ("Computing: {what}", "Calculando: {what}"),
    "map_failed": ("No map could be made: {reason}", "No se pudo hacer el mapa: {reason}"),
    "too_few_for_map": (
        "Only {number} window(s): too few for a map that means something. Listening works all the same.",
        "Solo {number} ventana(s): muy pocas para un mapa con sentido. Escuchar sí funciona.",
    ),
    "thinned": (
        "{shown} of {number} points are drawn: in crowded places some are left out ({left}), in "
        "sparse ones none. Colours, filters, clusters and exports count all.",
        "Se dibujan {shown} de {number} puntos: donde hay muchos se omiten algunos ({left}), donde "
        "hay pocos ninguno. Colores, filtros, grupos y exportaciones los cuentan todos.",
    ),
    "tool_lasso": ("Lasso (Shift adds, Alt takes away)", "Lazo (Mayús añade, Alt quita)"),
    "tool_box": ("Box (Shift adds, Alt takes away)", "Caja (Mayús añade, Alt quita)"),
    "tool_pan": ("Move; the wheel zooms", "Mover; la rueda amplía"),
    "tool_turn": ("Turn", "Girar"),
    "tool_reset": ("Whole map", "Mapa completo"),
    "tool_clear": ("Select nothing (Esc)", "No seleccionar nada (Esc)"),
    "tool_unable": (
        "This browser cannot draw the map (WebGL 2 is off). Lists and sounds work.",
        "Este navegador no puede dibujar el mapa (WebGL 2 está apagado). Las listas y los sonidos funcionan.",
    ),
    # colour and filter
    "colour": ("Colour", "Color"),
    "by_cluster": ("cluster", "grupo"),
    "by_label": ("label", "etiqueta"),
    "by_predicted": ("predicted label", "etiqueta predicha"),
    "by_site": ("site", "sitio"),
    "by_recording": ("recording", "grabación"),
    "by_hour": ("hour of the day", "hora del día"),
    "by_date": ("date", "fecha"),
    "by_score": ("score", "puntuación"),
    "by_novelty": ("novelty", "novedad"),
    "others": ("others", "otros"),
    "cluster_number": ("group {number}", "grupo {number}"),
    "filter": ("Filter", "Filtro"),
    "search": ("Search", "Buscar"),
    "search_hint": ("file, label …", "archivo, etiqueta …"),
    "more_filters": ("More filters", "Más filtros"),
    "min_score": ("Score from", "Puntuación desde"),
    "min_novelty": ("Novelty from", "Novedad desde"),
    "between_hours": ("Hours of the day", "Horas del día"),
    "over_midnight": ("Over midnight", "Pasando medianoche"),
    "over_midnight_help": (
        "From the later hour through midnight to the earlier one.",
        "De la hora mayor, pasando por medianoche, a la menor.",
    ),
    "fits": ("{fits} of {windows} windows fit", "{fits} de {windows} ventanas cumplen"),
    "nothing_fits": (
        "No window fits these filters. Take one away.",
        "Ninguna ventana cumple estos filtros. Quite alguno.",
    ),
    "select_fitting": ("Select these", "Seleccionar estas"),
    "selection": ("{number} windows selected", "{number} ventanas seleccionadas"),
    "no_selection": (
        "Nothing is selected: draw a lasso on the map.",
        "No hay selección: dibuje un lazo en el mapa.",
    ),
    # listen
    "nothing_in_focus": ("Click a point to see and hear it", "Haga clic en un punto para verlo y oírlo"),
    "nothing_in_focus_help": (
        "Draw a lasso around points to select them. The wheel zooms.",
        "Dibuje un lazo alrededor de puntos para seleccionarlos. La rueda amplía.",
    ),
    "no_sound": ("This window cannot be heard: {reason}", "Esta ventana no se puede oír: {reason}"),
    "play": ("Play", "Reproducir"),
    "player_picture": ("spectrogram", "espectrograma"),
    "player_back": ("The window before (←)", "La ventana anterior (←)"),
    "player_play": ("Play or pause (space)", "Reproducir o pausar (espacio)"),
    "player_on": ("The next window (→)", "La ventana siguiente (→)"),
    "player_slower": ("slower", "más lento"),
    "player_hint": ("space plays · ← → in time", "espacio reproduce · ← → en el tiempo"),
    "preset": ("Preset", "Ajuste"),
    "preset_all": ("All", "Todo"),
    "preset_birds": ("Birds", "Aves"),
    "preset_frogs": ("Frogs", "Ranas"),
    "preset_insects": ("Insects", "Insectos"),
    "preset_bats": ("Bats", "Murciélagos"),
    "picture_settings": ("Picture and sound", "Imagen y sonido"),
    "band": ("Frequencies", "Frecuencias"),
    "range_db": ("Range below the loudest", "Rango bajo lo más fuerte"),
    "window_ms": ("Analysis window (ms)", "Ventana de análisis (ms)"),
    "window_ms_help": (
        "Long is fine in frequency, short is fine in time.",
        "Larga: fina en frecuencia; corta: fina en tiempo.",
    ),
    "context": ("Around it (window lengths)", "Alrededor (longitudes de ventana)"),
    "context_help": (
        "How much is shown before and behind; only the window itself is played.",
        "Cuánto se muestra antes y después; solo se reproduce la ventana.",
    ),
    "colour_map": ("Colours", "Colores"),
    "slowdown": ("Played slower", "Reproducir más lento"),
    "evened": ("Make faint sounds louder", "Realzar sonidos débiles"),
    "evened_help": ("Off: as loud as it was recorded.", "Apagado: tan fuerte como se grabó."),
    "plays_at_once": ("Play on click", "Reproducir al hacer clic"),
    "similar": ("Most similar windows", "Las ventanas más parecidas"),
    "similarity": ("cosine {value}", "coseno {value}"),
    "select_similar": ("Select these", "Seleccionar estas"),
    # panels
    "panel": ("Panel", "Panel"),
    "panel_clusters": ("Clusters", "Grupos"),
    "panel_export": ("Export", "Exportar"),
    "num_clusters": ("Number of clusters", "Número de grupos"),
    "min_cluster_size": ("Smallest cluster", "Grupo más pequeño"),
    "clusters_running": ("The windows are being grouped …", "Se están agrupando las ventanas …"),
    "clusters_failed": ("No clusters: {reason}", "Sin grupos: {reason}"),
    "cluster_name": ("Name of the cluster", "Nombre del grupo"),
    "cluster_name_hint": ("for example: tree frogs at night", "por ejemplo: ranas de noche"),
    "typical": ("Typical", "Típicas"),
    "odd": ("Odd", "Atípicas"),
    "mean_spectrogram": ("Mean spectrum of typical members", "Espectro medio de las típicas"),
    "select_cluster": ("Select this cluster", "Seleccionar este grupo"),
    "guidance": ("How many clusters?", "¿Cuántos grupos?"),
    "guidance_ask": ("Compute guidance", "Calcular orientación"),
    "guidance_said": (
        "The silhouette is best at {silhouette}; the elbow lies at {elbow}.",
        "La silueta es mejor con {silhouette}; el codo está en {elbow}.",
    ),
    "agreement_said": (
        "Agreement with the labels: ARI {ari:.2f}, AMI {ami:.2f} ({windows} labelled windows; 0 is "
        "chance, 1 is perfect).",
        "Acuerdo con las etiquetas: ARI {ari:.2f}, AMI {ami:.2f} ({windows} ventanas etiquetadas; 0 "
        "es azar, 1 perfecto).",
    ),
    "column_cluster": ("cluster", "grupo"),
    "column_size": ("windows", "ventanas"),
    "column_share": ("share", "parte"),
    "column_recordings": ("recordings", "grabaciones"),
    "column_sites": ("sites", "sitios"),
    "column_commonest_label": ("commonest label", "etiqueta más común"),
    "column_label_share": ("its share", "su parte"),
    "export_what": ("What to export", "Qué exportar"),
    "export_selected": ("the selection ({number})", "la selección ({number})"),
    "export_fitting": ("what fits the filters ({number})", "lo que cumple los filtros ({number})"),
    "export_all": ("everything ({number})", "todo ({number})"),
    "export_prepare": ("Prepare files", "Preparar archivos"),
    "export_clips_limit": (
        "Clips are cut for the first {number} windows.",
        "Se cortan clips de las primeras {number} ventanas.",
    ),
    "export_table": ("Table (CSV)", "Tabla (CSV)"),
    "export_raven": ("Raven selections", "Selecciones de Raven"),
    "export_audacity": ("Audacity labels", "Etiquetas de Audacity"),
    "export_clips": ("Clips (ZIP)", "Clips (ZIP)"),
    "export_png": ("Map as PNG", "Mapa en PNG"),
    "export_svg": ("Map as SVG", "Mapa en SVG"),
    "export_state": ("This view", "Esta vista"),
    "export_state_help": (
        "The address of the page holds the view: copy it. Or keep it as a file.",
        "La dirección de la página contiene la vista: cópiela. O guárdela en un archivo.",
    ),
    "export_state_file": ("View as a file", "Vista en un archivo"),
    "export_state_load": ("Open a view", "Abrir una vista"),
    "bad_state": (
        "This is no view of the explorer: {reason}",
        "Esto no es una vista del explorador: {reason}",
    ),
    "nothing_to_export": ("There is nothing to export yet.", "Todavía no hay nada que exportar."),
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


def word(key: str, language: Language, **values: object) -> str:
    """What the page says under a key, with values put in.

    Raises:
        KeyError: nobody wrote that sentence.
    """
    english, spanish = WORDS[key]
    text = spanish if language == "es" else english
    return text.format(**values) if values else text
