"use client";

import { SunMoon } from "lucide-react";
import Link from "next/link";
import { usePathname } from "next/navigation";
import type { ReactNode } from "react";
import { Announcer } from "@/components/announcer";
import { Banner } from "@/components/banner";
import { TopBar } from "@/components/top-bar";
import { useOpportunities } from "@/hooks/use-opportunities";
import { useShortcuts } from "@/hooks/use-shortcuts";
import { useStatus } from "@/hooks/use-status";
import { PAGES, pageAt } from "@/lib/pages";
import { toggleTheme } from "@/lib/theme";

/** Rail, top bar and banner around every page; on a phone the rail is a bar below. */
export function Shell({ children }: { children: ReactNode }) {
  useShortcuts();
  return (
    <div className="min-h-dvh tablet:pl-[52px] desk:pl-[196px]">
      <Rail />
      <TopBar />
      <main className="flex flex-col gap-3 p-2.5 pb-20 tablet:p-4 tablet:pb-6">
        <Banner />
        {children}
      </main>
      <BottomBar />
      <Announcer />
    </div>
  );
}

function Rail() {
  return (
    <nav
      aria-label="Pages"
      className="fixed inset-y-0 left-0 z-20 hidden w-[52px] flex-col gap-1 border-r border-line bg-bg p-2 tablet:flex desk:w-[196px]"
    >
      <div className="flex h-8 items-center justify-center gap-2 desk:justify-start desk:px-2">
        <Mark />
        <span className="hidden font-semibold desk:inline">Carrydesk</span>
      </div>
      {PAGES.map((page) => (
        <RailLink key={page.path} page={page} />
      ))}
      <button
        type="button"
        onClick={toggleTheme}
        title="Theme (t)"
        aria-label="Change theme"
        className="mt-auto flex h-8 items-center justify-center gap-2.5 rounded-control text-fg-2 hover:bg-raised desk:justify-start desk:px-2"
      >
        <SunMoon size={16} aria-hidden />
        <span className="hidden desk:inline">Theme</span>
      </button>
      <Version />
    </nav>
  );
}

function RailLink({ page }: { page: (typeof PAGES)[number] }) {
  const here = pageAt(usePathname()) === page;
  const Icon = page.icon;
  return (
    <Link
      href={page.path}
      aria-current={here ? "page" : undefined}
      title={`${page.title} (g ${page.key})`}
      className={`flex h-8 items-center justify-center gap-2.5 rounded-control desk:justify-start desk:px-2 ${here ? "bg-track text-fg" : "text-fg-2 hover:bg-raised"}`}
    >
      <Icon size={16} aria-hidden />
      <span className="sr-only desk:not-sr-only">{page.title}</span>
      {page.path === "/opportunities/" && <EntersCount />}
    </Link>
  );
}

function EntersCount() {
  const entering =
    useOpportunities().data?.rows.filter((row) => row.verdict === "open").length ?? 0;
  if (entering === 0) return null;
  return (
    <span
      className="ml-auto hidden text-label text-fg-3 desk:inline"
      title={`${entering} to enter`}
    >
      {entering}
    </span>
  );
}

function Version() {
  const version = useStatus().data?.version;
  return (
    <p className="hidden h-4 px-2 text-label text-fg-3 desk:block">
      {version === undefined ? "" : `v${version}`}
    </p>
  );
}

function BottomBar() {
  const here = pageAt(usePathname());
  return (
    <nav
      aria-label="Pages"
      className="fixed inset-x-0 bottom-0 z-20 flex border-t border-line bg-bg tablet:hidden"
    >
      {PAGES.map((page) => (
        <Link
          key={page.path}
          href={page.path}
          aria-current={page === here ? "page" : undefined}
          className={`flex min-h-14 flex-1 flex-col items-center justify-center gap-1 text-label ${page === here ? "text-fg" : "text-fg-3"}`}
        >
          <page.icon size={20} aria-hidden />
          {page.title}
        </Link>
      ))}
      <button
        type="button"
        onClick={toggleTheme}
        className="flex min-h-14 flex-1 flex-col items-center justify-center gap-1 text-label text-fg-3"
      >
        <SunMoon size={20} aria-hidden />
        Theme
      </button>
    </nav>
  );
}

function Mark() {
  return (
    <svg viewBox="0 0 16 16" width="18" height="18" aria-hidden="true" className="text-fg">
      <path
        d="M1.5 5.5h7M7.5 10.5h7"
        stroke="currentColor"
        strokeWidth="2.4"
        strokeLinecap="round"
      />
      <circle cx="12.8" cy="5.5" r="1.7" fill="currentColor" />
      <circle cx="3.2" cy="10.5" r="1.7" fill="currentColor" />
    </svg>
  );
}
