/**
 * Requests as the real server takes them: a field with the number of a known one but of another kind is an error there, where the decoder that the stand-in is built on would read nonsense.
 * Unknown field numbers are passed over by both.
 */

interface FieldType {
  readonly name: string;
  readonly number: number;
  readonly type: string;
}

const varints = new Set(['TYPE_UINT64', 'TYPE_UINT32', 'TYPE_INT32', 'TYPE_INT64', 'TYPE_BOOL', 'TYPE_ENUM']);
const names = ['Varint', 'SixtyFourBit', 'LengthDelimited', 'StartGroup', 'EndGroup', 'ThirtyTwoBit'];

export function requireKinds(message: string, fields: readonly FieldType[], bytes: Buffer): void {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at];
      if (byte === undefined || shift > 63n) throw new Error('failed to decode Protobuf message: invalid varint');
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [number, kind] = [Number(tag >> 3n), Number(tag & 7n)];
    const field = fields.find((each) => each.number === number);
    const expected = field === undefined ? kind : varints.has(field.type) ? 0 : 2;
    if (kind !== expected)
      throw new Error(
        `failed to decode Protobuf message: ${message}.${field?.name}: invalid wire type: ${names[kind]} (expected ${names[expected]})`,
      );
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const size = Number(varint());
      at += size;
    } else throw new Error('failed to decode Protobuf message: unexpected end group tag');
    if (at > bytes.length) throw new Error('failed to decode Protobuf message: buffer underflow');
  }
}
