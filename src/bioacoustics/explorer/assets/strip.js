// A strip of small players: a click on a picture plays it, a click on its name asks the page to look closer.

function card(item, answer, root) {
  const figure = document.createElement("figure");
  figure.classList.toggle("focus", item.is_focus);
  figure.dataset.position = item.position;
  const sight = document.createElement("div");
  sight.className = "sight";
  if (item.picture) {
    const image = document.createElement("img"), head = document.createElement("div"), audio = document.createElement("audio");
    image.src = `data:image/png;base64,${item.picture}`;
    image.alt = item.title;
    head.className = "head";
    head.hidden = true;
    audio.src = `data:audio/flac;base64,${item.sound}`;
    sight.append(image, head, audio);
    sight.tabIndex = 0;
    sight.setAttribute("role", "button");
    sight.setAttribute("aria-label", `${root.dataset.play} ${item.title}`);
    const follow = () => {
      head.hidden = audio.paused;
      head.style.left = `${(100 * audio.currentTime) / (audio.duration || 1)}%`;
      if (!audio.paused) requestAnimationFrame(follow);
    };
    const toggle = () => {
      if (!audio.paused) return audio.pause();
      document.dispatchEvent(new CustomEvent("one-player", { detail: audio }));
      audio.currentTime = 0;
      audio.play().then(follow, () => {});
    };
    document.addEventListener("one-player", (event) => event.detail !== audio && audio.pause());
    audio.addEventListener("pause", follow);
    sight.addEventListener("click", toggle);
    sight.addEventListener("keydown", (event) => {
      if (event.key === "Enter") toggle();
    });
  } else {
    const why = document.createElement("div");
    why.className = "missing";
    why.textContent = item.problem;
    sight.append(why);
  }
  const caption = document.createElement("figcaption");
  for (const [tag, text] of [["b", item.title], ["span", item.note]]) {
    const line = document.createElement(tag);
    line.textContent = text;
    line.title = text;
    caption.append(line);
  }
  caption.addEventListener("click", () => answer("picked", { position: item.position }));
  figure.append(sight, caption);
  return figure;
}

export default function (component) {
  const root = component.parentElement.querySelector(".strip");
  const { items, play, strip_id } = component.data;
  if (root.dataset.id === strip_id) return;
  root.dataset.id = strip_id;
  root.dataset.play = play;
  root.replaceChildren(...items.map((item) => card(item, component.setTriggerValue, root)));
}
