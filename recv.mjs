import pg from 'pg'; import net from 'node:net'; import { createHmac, createCipheriv, randomBytes } from 'node:crypto';
const mode = process.argv[2];
const BUF = Number(process.argv[3] ?? 262144);
let onBytes = null, paused=false; let sock;
const buffer = Buffer.allocUnsafe(BUF);
const stream = mode.startsWith('iter') ? undefined : () => { sock = new net.Socket({ onread: { buffer, callback: (n, b) => { if (onBytes) return onBytes(b.subarray(0,n)); sock.emit('data', Buffer.from(b.subarray(0, n))); return true; } } }); return sock; };
const c = new pg.Client({ host: '127.0.0.1', port: +process.env.P, user: 'holdfast', database: 'postgres', password: process.env.BENCH_PASSWORD, replication: 'true', ...(stream ? { stream } : {}) });
await c.connect();
const s = c.connection.stream; s.removeAllListeners('data');
const cpu0 = process.cpuUsage(), t0 = performance.now();
let total = 0, events = 0, msgs=0;
const q = Buffer.from("BASE_BACKUP (LABEL 'x', PROGRESS true, CHECKPOINT 'fast', WAL false, WAIT false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C', TABLESPACE_MAP true, COMPRESSION 'zstd', COMPRESSION_DETAIL 'level=3,workers=2')\0");
const h = Buffer.alloc(5); h.write('Q'); h.writeUInt32BE(q.length+4,1);
s.write(Buffer.concat([h,q]));
let hm = createHmac('sha256','k'), ci = createCipheriv('aes-256-gcm', randomBytes(32), randomBytes(12));
const piece = Buffer.allocUnsafe(4<<20); let at=0;
function take(payload){ total += payload.length; if (mode.endsWith('work')) { hm.update(payload); for (let r=payload; r.length;) { const n=Math.min(r.length, piece.length-at); ci.update(r.subarray(0,n)).copy(piece, at); at+=n; r=r.subarray(n); if (at===piece.length) { at=0; hm.digest(); hm=createHmac('sha256','k'); } } } }
let done=false, kept=Buffer.alloc(0);
function parse(b){ let i=0; while (b.length-i>=5){ const len=b.readUInt32BE(i+1); if (b.length-i<1+len) break; const t=b[i]; if (t===100) { msgs++; if (b[i+5]===100) take(b.subarray(i+6,i+1+len)); } if (t===90) done=true; i+=1+len; } return i; }
if (mode.startsWith('iter')) { s.pause(); for await (const v of s) { events++; kept = kept.length? Buffer.concat([kept,v]):v; const i=parse(kept); kept=kept.subarray(i); if (done) break; } }
else { await new Promise(res=>{ const acc=Buffer.allocUnsafe(BUF+(1<<20)); let have=0; onBytes=(b)=>{ events++; b.copy(acc,have); have+=b.length; const v=acc.subarray(0,have); const i=parse(v); acc.copy(acc,0,i,have); have-=i; if(done) res(); return true; }; }); }
const c1=process.cpuUsage(cpu0); console.log(mode, BUF, 'MB', (total/1e6).toFixed(0), 'wall', ((performance.now()-t0)/1e3).toFixed(2), 'cpu', ((c1.user+c1.system)/1e6).toFixed(2), 'user', (c1.user/1e6).toFixed(2), 'events', events, 'msgs', msgs);
process.exit(0);
