/** Values of records in one form, so that equal ones are equal texts. Pure. */
import { fail } from '../../base/errors.ts';

export const routeTypes = ['A', 'AAAA', 'CNAME'] as const;
export type RouteType = (typeof routeTypes)[number];

/** `2001:DB8:0::1` -> `2001:db8::1`, `WWW.example.com.` -> `www.example.com`. SPEC_INVALID where the value does not fit the type. */
export function canonicalAddress(type: RouteType, value: string): string {
  const canonical = type === 'A' ? ipv4(value) : type === 'AAAA' ? ipv6(value) : hostName(value);
  if (canonical !== undefined) return canonical;
  throw fail('SPEC_INVALID', {
    message: `"${value}" is not a value of a record of type ${type}`,
    hint: 'Type A takes an IPv4 address, AAAA an IPv6 address, CNAME a name.',
  });
}

function ipv4(value: string): string | undefined {
  const parts = value.split('.');
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255) ? value : undefined;
}

function ipv6(value: string): string | undefined {
  const url = `http://[${value}]/`;
  return /^[0-9a-f:.]+$/i.test(value) && URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : undefined;
}

function hostName(value: string): string | undefined {
  const name = value.toLowerCase().replace(/\.$/, '');
  return /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(name) && !/^[\d.]+$/.test(name) ? name : undefined;
}
