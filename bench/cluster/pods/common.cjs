// What both ends know.
const PORTS = { echo: 7001, first: 7002, sink: 7003, http: 7004 };

/** Microseconds since 1970, by the node's clock, with the resolution of performance.now. */
const nowUs = () => (performance.timeOrigin + performance.now()) * 1000;

module.exports = { PORTS, nowUs };
