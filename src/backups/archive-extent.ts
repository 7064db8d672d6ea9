/** What an archive holds of one history. */
export interface ArchiveExtent {
  readonly component: string;
  readonly identity: string;
  readonly oldest: string;
  readonly newest: string;
  /** When its newest segment arrived. */
  readonly newestAtMs: number;
}
