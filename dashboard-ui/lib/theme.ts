/** The theme: remembered, the system's until chosen, dark when nobody says. */

export type Theme = "dark" | "light";

const STORED_AS = "carrydesk-theme";

/** Runs before the first paint, so that no page flashes in the wrong theme. */
export const THEME_SCRIPT = `(function(){var t=null;try{t=localStorage.getItem("${STORED_AS}")}catch(e){}
if(t!=="dark"&&t!=="light")t=matchMedia("(prefers-color-scheme: light)").matches?"light":"dark";
document.documentElement.dataset.theme=t})()`;

export function toggleTheme(): void {
  const root = document.documentElement;
  const next: Theme = root.dataset.theme === "light" ? "dark" : "light";
  root.dataset.theme = next;
  try {
    localStorage.setItem(STORED_AS, next);
  } catch {
    // A browser that refuses storage still gets the theme for this visit.
  }
}
