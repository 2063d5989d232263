// A verdict's page: its row is open, and has the focus, so that a key labels it.

import {toggle} from "./rows.js";

const row = document.querySelector("tr[data-verdict]");
toggle(row);
row.querySelector("[data-open-row]").focus({preventScroll: true});
