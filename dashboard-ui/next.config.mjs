import { fileURLToPath } from "node:url";

/** A static export: the api or Caddy serves `out/` and `/v1` from one origin. */
export default {
  output: "export",
  trailingSlash: true,
  images: { unoptimized: true },
  devIndicators: false,
  // Types and lint are checked by `npm run check`; the build only builds.
  typescript: { ignoreBuildErrors: true },
  turbopack: { root: fileURLToPath(new URL(".", import.meta.url)) },
};
