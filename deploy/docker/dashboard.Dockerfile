# The dashboard's static pages inside Caddy, which is also the one door to the api.
ARG NODE_IMAGE=node:20.19.4-bookworm-slim
ARG CADDY_IMAGE=caddy:2.10.0-alpine

FROM ${NODE_IMAGE} AS build
WORKDIR /build
ENV NEXT_TELEMETRY_DISABLED=1
COPY dashboard-ui/package.json dashboard-ui/package-lock.json dashboard-ui/.npmrc ./
RUN npm ci --no-audit --no-fund --loglevel=error
COPY dashboard-ui ./
COPY deploy/caddy/csp.mjs ./
RUN npm run build && node csp.mjs out >csp.caddy

FROM ${CADDY_IMAGE}
COPY deploy/caddy/Caddyfile /etc/caddy/Caddyfile
COPY --from=build /build/csp.caddy /etc/caddy/csp.caddy
COPY --from=build /build/out /srv
USER 10030:10030
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
