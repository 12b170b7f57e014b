//! Reading and writing requests, and a stream's frames.
#![expect(clippy::unwrap_used, reason = "a bench may fail as a test may")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput};
use doorward_benches::{agent_body, chat_body};
use doorward_wire::{AnthropicMessages, Destination, Dialect, OpenAiChat, Quirks, WriterOptions};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    requests(&mut criterion);
    streams(&mut criterion);
    criterion.final_summary();
}

fn requests(criterion: &mut Criterion) {
    let bodies = [
        ("chat 1 KiB", chat_body(1 << 10)),
        ("chat 16 KiB", chat_body(16 << 10)),
        ("chat 64 KiB", chat_body(64 << 10)),
        ("agent 72 KB", agent_body()),
    ];
    let to = Destination::new("gpt-5-mini");
    for (name, body) in bodies {
        let mut group = criterion.benchmark_group("codec");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new("read_call", name), |bench| {
            bench.iter(|| OpenAiChat.read_call(black_box(body.clone())).unwrap());
        });
        let call = OpenAiChat.read_call(body).unwrap();
        group.bench_function(BenchmarkId::new("write_call same dialect", name), |bench| {
            bench.iter(|| OpenAiChat.write_call(black_box(&call), &to).unwrap());
        });
        group.bench_function(BenchmarkId::new("write_call translated", name), |bench| {
            bench.iter(|| AnthropicMessages.write_call(black_box(&call), &to).unwrap());
        });
    }
}

/// How many text chunks a stream has.
const CHUNKS: u64 = 200;

fn streams(criterion: &mut Criterion) {
    let chunks: Vec<Bytes> = (0..CHUNKS).map(chunk).collect();
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(CHUNKS));
    let same = WriterOptions { streaming: true, same_dialect: true, ..WriterOptions::default() };
    let other = WriterOptions { same_dialect: false, ..same.clone() };
    group.bench_function("frames passed through", |bench| {
        bench.iter(|| forward(&chunks, &OpenAiChat, same.clone()));
    });
    group.bench_function("frames translated", |bench| {
        bench.iter(|| forward(&chunks, &AnthropicMessages, other.clone()));
    });
}

fn chunk(number: u64) -> Bytes {
    let text = if number == 0 { "\"role\":\"assistant\"," } else { "" };
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\
         \"model\":\"m-1\",\"choices\":[{{\"index\":0,\"delta\":{{{text}\"content\":\" word {number}\"}},\
         \"finish_reason\":null}}]}}\n\n"
    )
    .into()
}

/// Reads an upstream's chunks and writes them for a client.
fn forward(chunks: &[Bytes], client: &dyn Dialect, options: WriterOptions) -> usize {
    let (mut reader, mut writer) =
        (OpenAiChat.reader(true, &Quirks::none()), client.writer(options));
    let (mut frames, mut out, mut written) = (Vec::new(), BytesMut::new(), 0);
    for chunk in chunks {
        reader.push(chunk.clone(), &mut frames).unwrap();
        for frame in frames.drain(..) {
            writer.write(&frame, &mut out);
        }
        written += out.split().len();
    }
    written
}
