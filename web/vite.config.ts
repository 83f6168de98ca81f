import { fileURLToPath } from "node:url";

import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** Where `npm run dev` finds a running server; the built app is served by the server itself. */
const server = process.env["EPOCHAL_URL"] ?? "http://127.0.0.1:8585";

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { "@": fileURLToPath(new URL("src", import.meta.url)) } },
  build: {
    outDir: "../src/epochal/server/static",
    emptyOutDir: true,
    target: "es2022",
    // The server's content policy allows no data: fonts, and a hashed file is cached for ever anyway.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 900,
  },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(
      ["/api", "/graphql", "/login", "/healthz"].map((path) => [
        path,
        // The server answers only requests that come from its own pages.
        { target: server, changeOrigin: true, headers: { origin: server } },
      ]),
    ),
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
