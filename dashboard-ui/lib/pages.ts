/** The pages that exist, in the order of the rail, with the key that follows `g`. */

import { House, ListOrdered } from "lucide-react";

export const PAGES = [
  { path: "/", title: "Home", key: "h", icon: House },
  { path: "/opportunities/", title: "Opportunities", key: "o", icon: ListOrdered },
] as const;

export function pageAt(pathname: string): (typeof PAGES)[number] | undefined {
  const path = pathname.endsWith("/") ? pathname : `${pathname}/`;
  return PAGES.find((page) => page.path === path);
}
