// The parts of prom-client that are used, by their files: the whole package costs 10 MB of memory, these one.

declare module 'prom-client/lib/registry.js' {
  import { Registry } from 'prom-client';

  export = Registry;
}

declare module 'prom-client/lib/counter.js' {
  import { Counter } from 'prom-client';

  export = Counter;
}

declare module 'prom-client/lib/gauge.js' {
  import { Gauge } from 'prom-client';

  export = Gauge;
}

declare module 'prom-client/lib/histogram.js' {
  import { Histogram } from 'prom-client';

  export = Histogram;
}
