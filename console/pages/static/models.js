// The list of models: two that are ticked can be compared.

const form = document.getElementById("compare");
const button = document.getElementById("compare-button");
const ticked = () => [...form.querySelectorAll("input[name=m]:checked")];

form?.addEventListener("change", () => {
  const count = ticked().length;
  button.disabled = count !== 2;
  for (const box of form.querySelectorAll("input[name=m]:not(:checked)")) box.disabled = count >= 2;
});
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const [a, b] = ticked().map((box) => box.value);
  location.assign(`${form.action}?${new URLSearchParams({a, b})}`);
});
