(() => {
  const gallery = document.getElementById("gallery");
  if (!gallery) return;
  const flip = document.getElementById("flip");
  const bucket = document.getElementById("bucket");
  let bestFirst = false;
  document.querySelector(".controls").hidden = false;
  flip.addEventListener("click", () => {
    gallery.append(...[...gallery.children].reverse());
    bestFirst = !bestFirst;
    flip.textContent = bestFirst ? "Show the worst first" : "Show the best first";
  });
  bucket.addEventListener("change", () => {
    for (const item of gallery.children) {
      item.hidden = bucket.value !== "" && item.dataset.bucket !== bucket.value;
    }
  });
})();
