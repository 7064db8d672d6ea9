/** Plain files into a tar and out of it, for stand-ins: written apart from the reader that is tested with it. */
export function packTar(members: readonly (readonly [name: string, content: Buffer])[]): Buffer {
  const blocks = members.flatMap(([name, content]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write('0000600\0', 100);
    header.write('0000000\0', 108);
    header.write('0000000\0', 116);
    header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('00000000000\0', 136);
    header.write('        ', 148);
    header.write('0', 156);
    header.write('ustar\x0000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1_024)]);
}

export function unpackTar(bytes: Buffer): Map<string, Buffer> {
  const members = new Map<string, Buffer>();
  for (let at = 0; ; ) {
    const header = bytes.subarray(at, at + 512);
    if (header.length < 512) throw new Error('unexpected EOF');
    if (header.every((byte) => byte === 0)) return members;
    const size = Number.parseInt(header.toString('latin1', 124, 135), 8);
    if (at + 512 + size > bytes.length) throw new Error('unexpected EOF');
    members.set(header.toString('latin1', 0, header.indexOf(0)), bytes.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
