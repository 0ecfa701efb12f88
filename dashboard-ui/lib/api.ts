/** Reading the API: same origin, JSON, five seconds at most. */

import type { components } from "@/lib/api-schema";

export type Schemas = components["schemas"];

const DEADLINE_MS = 5_000;

/** An answer that did not come, or came as a problem; the message is for people. */
export class ApiProblem extends Error {
  override name = "ApiProblem";
}

/** The JSON of one resource. Raises ApiProblem when it cannot be had. */
export async function get<T>(path: string): Promise<T> {
  const response = await answerOf(path);
  if (!response.ok) throw new ApiProblem(await reasonOf(response));
  return (await response.json()) as T;
}

async function answerOf(path: string): Promise<Response> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), DEADLINE_MS);
  try {
    return await fetch(path, { headers: { accept: "application/json" }, signal: deadline.signal });
  } catch {
    throw new ApiProblem(
      deadline.signal.aborted
        ? `The server did not answer in ${DEADLINE_MS / 1000} s.`
        : "The server cannot be reached.",
    );
  } finally {
    clearTimeout(timer);
  }
}

async function reasonOf(response: Response): Promise<string> {
  const body: unknown = await response.json().catch(() => null);
  if (typeof body === "object" && body !== null && "detail" in body) {
    if (typeof body.detail === "string") return body.detail;
  }
  return `The server answered ${response.status}.`;
}
