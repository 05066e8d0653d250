// The vendored virtual-core asks process.env.NODE_ENV, which a browser does
// not have. Import this module before it.
globalThis.process ??= { env: { NODE_ENV: "production" } };
