"""Maps: what stands beside the map: settings, colours, filters, selection."""

WORDS: dict[str, tuple[str, str]] = {
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
    "by_season": ("season", "temporada"),
    "novel_only": ("Only what is new", "Solo lo que es nuevo"),
    "novel_marked": (
        "A dark ring marks windows of the new season that lie off the map.",
        "Un anillo oscuro marca las ventanas de la nueva temporada que quedan fuera del mapa.",
    ),
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
}
