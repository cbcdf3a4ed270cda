//! Writing checkpoints as PyTorch does, so that their import can be tested without PyTorch.
//!
//! A checkpoint is a pickle of an ordered dictionary of tensors, whose numbers lie beside it: in
//! entries of a zip archive, or (before PyTorch 1.6) one after the other in the same file.

use std::io::Write;
use std::path::Path;

use strdiffusion::weights::TensorMap;
pub use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

/// How a checkpoint is laid out.
#[derive(Clone, Copy, PartialEq)]
pub enum Layout {
    /// As since PyTorch 1.6.
    Zip,
    /// As before.
    Legacy,
}

/// Writes tensors under their names with `prefix` before each.
///
/// # Panics
/// If the file cannot be written.
pub fn write(path: &Path, tensors: &TensorMap, prefix: &str, layout: Layout) {
    std::fs::write(path, bytes(tensors, prefix, layout)).expect("the file can be written");
}

/// The same in memory.
pub fn bytes(tensors: &TensorMap, prefix: &str, layout: Layout) -> Vec<u8> {
    let numbers: Vec<Vec<u8>> = tensors
        .values()
        .map(|tensor| tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let state = pickle_of(tensors, prefix, layout);
    match layout {
        Layout::Zip => archive(&state, &numbers, CompressionMethod::Stored),
        Layout::Legacy => stream(&state, &numbers),
    }
}

/// A zip archive of a pickle and the numbers of its tensors.
///
/// # Panics
/// If the archive cannot be made.
pub fn archive(pickle: &[u8], numbers: &[Vec<u8>], method: CompressionMethod) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    let options = SimpleFileOptions::default().compression_method(method);
    let mut entry = |name: &str, bytes: &[u8]| {
        let started = archive.start_file(format!("checkpoint/{name}"), options);
        started.expect("names are short");
        archive.write_all(bytes).expect("memory takes all");
    };
    entry("data.pkl", pickle);
    entry("byteorder", b"little");
    for (i, bytes) in numbers.iter().enumerate() {
        entry(&format!("data/{i}"), bytes);
    }
    entry("version", b"3\n");
    archive.finish().expect("memory takes all").into_inner()
}

/// A pickle and the numbers of its tensors, one after the other.
fn stream(pickle: &[u8], numbers: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![];
    // Magic number, protocol version 1001, and what the machine is like.
    file.extend(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.");
    file.extend(b"\x80\x02M\xe9\x03.");
    file.extend(b"\x80\x02}(");
    file.extend(string("protocol_version"));
    file.extend(b"M\xe9\x03");
    file.extend(string("little_endian"));
    file.extend(b"\x88u.");
    file.extend(pickle);
    file.extend(b"\x80\x02](");
    for i in 0..numbers.len() {
        file.extend(string(&i.to_string()));
    }
    file.extend(b"e.");
    for bytes in numbers {
        file.extend((bytes.len() as u64 / 4).to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// Pickle protocol 2; the opcodes' names stand beside them.
pub fn pickle_of(tensors: &TensorMap, prefix: &str, layout: Layout) -> Vec<u8> {
    let mut out = b"\x80\x02".to_vec(); // PROTO 2
    out.extend(b"ccollections\nOrderedDict\n)R("); // GLOBAL, EMPTY_TUPLE, REDUCE, MARK
    for (i, (name, tensor)) in tensors.iter().enumerate() {
        out.extend(string(&format!("{prefix}{name}")));
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(("); // GLOBAL, MARK, MARK
        out.extend(string("storage"));
        out.extend(b"ctorch\nFloatStorage\n");
        out.extend(string(&i.to_string()));
        out.extend(string("cpu"));
        out.extend(integer(tensor.values.len()));
        if layout == Layout::Legacy {
            out.push(b'N'); // NONE: the storage is no view
        }
        out.extend(b"tQK\0"); // TUPLE, BINPERSID, BININT1 0: offset
        let strides: Vec<usize> = (0..tensor.shape.len())
            .map(|d| tensor.shape[d + 1..].iter().product())
            .collect();
        for extents in [&tensor.shape, &strides] {
            out.push(b'(');
            out.extend(extents.iter().flat_map(|&extent| integer(extent)));
            out.push(b't');
        }
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR"); // NEWFALSE, no hooks, TUPLE, REDUCE
    }
    out.extend(b"u."); // SETITEMS, STOP
    out
}

fn string(text: &str) -> Vec<u8> {
    let mut out = vec![b'X']; // BINUNICODE
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.bytes());
    out
}

fn integer(value: usize) -> Vec<u8> {
    let mut out = vec![b'J']; // BININT
    out.extend((value as u32).to_le_bytes());
    out
}
