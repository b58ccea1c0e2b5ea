"""Panel words: what the panels of components, time, teaching and comparison say, in English and Spanish."""

PANEL_WORDS: dict[str, tuple[str, str]] = {
    "panel_components": ("Components", "Componentes"),
    "panel_patterns": ("Patterns in time", "Patrones en el tiempo"),
    "panel_teach": ("Teach", "Enseñar"),
    "panel_compare": ("Compare", "Comparar"),
    "measuring": ("measuring…", "midiendo…"),
    "nothing_named": (
        "Windows have no clusters, labels or predictions yet.",
        "Las ventanas aún no tienen grupos, etiquetas ni predicciones.",
    ),
    "named_by": ("Named by", "Nombradas por"),
    "named_cluster": ("cluster", "grupo"),
    "named_label": ("label", "etiqueta"),
    "named_predicted": ("prediction", "predicción"),
    # components
    "components_wait": ("They come with the first map.", "Llegan con el primer mapa."),
    "component": ("Component", "Componente"),
    "explained": ("Share of the variance", "Parte de la varianza"),
    "loadings": (
        "Numbers that weigh most in component {number}",
        "Números que más pesan en el componente {number}",
    ),
    "follows": ("What each component follows", "Qué sigue cada componente"),
    "follows_help": (
        "0 is nothing, 1 is entirely. Loudness was measured in up to {windows} windows.",
        "0 es nada, 1 es del todo. El volumen se midió en hasta {windows} ventanas.",
    ),
    "told_better": ("What the vectors tell", "Qué revelan los vectores"),
    "told_help": (
        "Asked of recordings that the answer was not learnt from; 0 is guessing, 1 is always right. A place "
        "or device that is told better than the label is a confounder.",
        "Preguntado a grabaciones de las que no se aprendió; 0 es adivinar, 1 es acertar siempre. Un lugar o "
        "aparato que se reconoce mejor que la etiqueta es un factor de confusión.",
    ),
    "nothing_told": (
        "There are not two sites, recordings or labels with enough windows to tell apart.",
        "No hay dos sitios, grabaciones o etiquetas con suficientes ventanas para distinguir.",
    ),
    "told_what": ("what", "qué"),
    "told_skill": ("skill", "acierto"),
    "told_accuracy": ("right", "correcto"),
    "told_chance": ("by guessing", "adivinando"),
    "told_classes": ("choices", "opciones"),
    "told_labels": ("label", "etiqueta"),
    "told_site": ("site", "sitio"),
    "told_recorder": ("recorder", "grabadora"),
    "told_recording": ("recording", "grabación"),
    "told_hour": ("time of day", "hora del día"),
    "told_loudness": ("loudness", "volumen"),
    "low_end": ("Lower end of component {number}", "Extremo inferior del componente {number}"),
    "high_end": ("Upper end of component {number}", "Extremo superior del componente {number}"),
    "select_ends": ("Select both ends", "Seleccionar ambos extremos"),
    # patterns in time
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
    "season_help": (
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
        "Windows per hour that was recorded, so that more recording is not more activity.",
        "Ventanas por hora grabada, para que grabar más no parezca más actividad.",
    ),
    "recording": ("Recording", "Grabación"),
    "draw_way": ("Draw its way over the map", "Dibujar su camino en el mapa"),
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
    # teach
    "who": ("Who labels", "Quién etiqueta"),
    "who_hint": ("your name", "su nombre"),
    "who_needed": (
        "Labels belong to somebody: write a name.",
        "Cada etiqueta es de alguien: escriba un nombre.",
    ),
    "label_name": ("Label", "Etiqueta"),
    "label_hint": ("choose or write a new one", "elija o escriba una nueva"),
    "label_meant": (
        "Windows it is about (the selection, else the one in focus): {number}",
        "Ventanas de las que trata (la selección, o la que se escucha): {number}",
    ),
    "label_yes": ("It is there", "Está"),
    "label_no": ("It is not", "No está"),
    "label_no_help": (
        "Looked for and not there: as good for teaching as the opposite.",
        "Se buscó y no está: enseña tanto como lo contrario.",
    ),
    "undo": ("Undo", "Deshacer"),
    "label_said_yes": ("{label}: in {number} windows", "{label}: en {number} ventanas"),
    "label_said_no": ("{label}: not in {number} windows", "{label}: no en {number} ventanas"),
    "undone": ("Taken back: {label} in {number} windows", "Deshecho: {label} en {number} ventanas"),
    "nothing_to_undo": ("There is nothing of yours to take back.", "No hay nada suyo que deshacer."),
    "labels_table": ("labels.csv", "labels.csv"),
    "labels_out": ("Get labels.csv", "Obtener labels.csv"),
    "labels_in": ("Take in a labels.csv", "Incorporar un labels.csv"),
    "labels_in_help": (
        "Columns filename and labels; start_s and end_s where a recording has several windows.",
        "Columnas filename y labels; start_s y end_s donde una grabación tiene varias ventanas.",
    ),
    "labels_taken": (
        "Windows labelled from the table: {number}",
        "Ventanas etiquetadas con la tabla: {number}",
    ),
    "teach_first": (
        "Select some windows, write what is heard in them and press “It is there”. A handful "
        "is enough to begin.",
        "Seleccione ventanas, escriba qué se oye y pulse «Está». Con unas pocas basta para empezar.",
    ),
    "teach_linear": ("linear", "lineal"),
    "teach_prototype": ("prototype", "prototipo"),
    "wanted_precision": ("Wanted precision", "Precisión deseada"),
    "teaching": ("learning from the labels…", "aprendiendo de las etiquetas…"),
    "num_yes": ("there", "está"),
    "num_no": ("not there", "no está"),
    "precision": ("precision", "precisión"),
    "at_least": ("at least", "al menos"),
    "recall": ("recall", "sensibilidad"),
    "average_precision": ("average precision", "precisión promedio"),
    "threshold": ("threshold", "umbral"),
    "not_reached": (
        "The wanted precision is not reached yet: {labels}. More labels help.",
        "Aún no se alcanza la precisión deseada: {labels}. Más etiquetas ayudan.",
    ),
    "judged_help": (
        "Judged on labelled windows of recordings that did not teach; calibrated on the same.",
        "Juzgado con ventanas etiquetadas de grabaciones que no enseñaron; calibrado con las mismas.",
    ),
    "show_growth": ("How it grew with the labels", "Cómo creció con las etiquetas"),
    "num_labelled": ("labelled windows", "ventanas etiquetadas"),
    "classifier_name": ("Name of the classifier", "Nombre del clasificador"),
    "classifier_save": ("Save", "Guardar"),
    "saving": ("saving…", "guardando…"),
    "classifier_saved": ("Saved as {path}. Run it over everything:", "Guardado en {path}. Aplíquelo a todo:"),
    "hear_next": ("Listen to these next", "Escuche ahora estas"),
    "next_uncertain": ("uncertain", "dudosas"),
    "next_likely": ("likely", "probables"),
    "next_diverse": ("diverse", "diversas"),
    "next_uncertain_help": (
        "Nearest to the threshold: an answer moves the border.",
        "Las más cercanas al umbral: una respuesta mueve el límite.",
    ),
    "next_likely_help": (
        "The most probable finds that nobody has heard yet.",
        "Los hallazgos más probables que nadie ha escuchado.",
    ),
    "next_diverse_help": (
        "Far from all that is labelled, and from each other.",
        "Lejos de todo lo etiquetado y entre sí.",
    ),
    "select_next": ("Select these", "Seleccionar estas"),
    # compare
    "compare_how": (
        "Start the explorer with --compare OTHER.lance, a store of the same recordings that "
        "another model made.",
        "Inicie el explorador con --compare OTRO.lance, un almacén de las mismas grabaciones "
        "hecho con otro modelo.",
    ),
    "compare_wait": ("The other map is being computed.", "Se está calculando el otro mapa."),
    "overlap": ("Same neighbours", "Mismas vecinas"),
    "overlap_help": (
        "Of the ten nearest windows, the share that both models agree on; by chance {chance:.1%}.",
        "De las diez ventanas más cercanas, la parte en que ambos modelos coinciden; por azar {chance:.1%}.",
    ),
    "this_model": ("This model", "Este modelo"),
    "other_model": ("The other model", "El otro modelo"),
    "compare_help": (
        "Skill of telling from neighbours, on held-out recordings: 0 is guessing, 1 is always right.",
        "Acierto al reconocer por las vecinas, en grabaciones apartadas: 0 es adivinar, 1 es "
        "acertar siempre.",
    ),
    "maps_aligned": (
        "The other map is turned and scaled onto this one; they differ by {disparity:.2f} (0 "
        "the same, 1 nothing "
        "in common). A lasso on either selects on both.",
        "El otro mapa se gira y escala sobre este; difieren en {disparity:.2f} (0 igual, 1 "
        "nada en común). Un lazo "
        "en cualquiera selecciona en ambos.",
    ),
}
