/**
 * Seeds that found a mistake once, each with its story in one sentence. They are run before all others, for ever. Each was seen to fail again with its mistake put back: where the
 * simulator draws otherwise than it did, a seed tells another story, and one that tells the old one has to be looked for.
 */
export const keptSeeds: readonly { readonly seed: number; readonly regions?: 3; readonly story: string }[] = [
  {
    seed: 1,
    story:
      'A re-protection planned just as the former primary came back took "no standby will give it its word" for a fence, left it running, and could then never salvage it.',
  },
  {
    seed: 153,
    story:
      'A person looked at the plan of a re-protection while a failover changed the roles, then said yes: it fenced the region that had become the active one, and nobody took writes.',
  },
  {
    seed: 268,
    story:
      'The clock on the wall was set back while the standby lagged: what would be lost looked like nothing, and a failover that nobody had ordered lost nine seconds of writes; one may be lost.',
  },
  {
    seed: 399,
    story:
      'A failover whose fence had failed was told to try again once the primary was back: what had been written since was not held against the loss budget, and five seconds were lost; one may be.',
  },
  {
    seed: 144,
    regions: 3,
    story:
      'Hands were tried while the machine of the new primary was slow, and a fence was reckoned to take longer than the lease allows: they were never tried again, so nothing there could serve.',
  },
  {
    seed: 110,
    regions: 3,
    story:
      'A re-protection waited for the active region to serve, for as long as its steps may take; and the region, which had fenced itself, waited for the re-protection to end before it served again.',
  },
];
