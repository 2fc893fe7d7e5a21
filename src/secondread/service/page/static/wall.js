import { refresh } from "./refresh.js";

refresh(["live"], Number(document.getElementById("live").dataset.refresh));
