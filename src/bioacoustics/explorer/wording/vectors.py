"""Vectors: what the panels of clusters, components and comparison say."""

WORDS: dict[str, tuple[str, str]] = {
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
    # what windows are called
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
    # compare
    "compare_how": (
        "Start the explorer with --compare OTHER.lance, a store of the same recordings that "
        "another model made.",
        "Inicie el explorador con --compare OTRO.lance, un almacén de las mismas grabaciones "
        "hecho con otro modelo.",
    ),
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
