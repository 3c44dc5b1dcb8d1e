// Fills the image and the network into the manifests. Pure functions.

/** The objects with `image` in every container that had our image. Throws when there is none. */
export function fillImage(objects, image) {
  let filled = 0;
  const changed = objects.map((object) => {
    const spec = object.spec?.template?.spec;
    if (spec === undefined) return object;
    const fill = (container) => {
      if (!/^weft:/.test(container.image)) return container;
      filled += 1;
      return { ...container, image };
    };
    const containers = spec.containers.map(fill);
    const initContainers = spec.initContainers && { initContainers: spec.initContainers.map(fill) };
    return {
      ...object,
      spec: { ...object.spec, template: { ...object.spec.template, spec: { ...spec, containers, ...initContainers } } },
    };
  });
  if (filled === 0) throw new Error('no container of the manifest has our image');
  return changed;
}

/** The objects with `network` (network.mjs) in net-conf.json of the ConfigMap. */
export function fillNetwork(objects, network) {
  return objects.map((object) => {
    if (object.kind !== 'ConfigMap' || object.data?.['net-conf.json'] === undefined) return object;
    const conf = { ...JSON.parse(object.data['net-conf.json']), ...netConf(network) };
    if (network[4] === undefined) delete conf.Network;
    return { ...object, data: { ...object.data, 'net-conf.json': `${JSON.stringify(conf, null, 2)}\n` } };
  });
}

function netConf(network) {
  const ipv6 = network[6] === undefined ? {} : { EnableIPv6: true, IPv6Network: network[6] };
  return network[4] === undefined ? { EnableIPv4: false, ...ipv6 } : { Network: network[4], ...ipv6 };
}
