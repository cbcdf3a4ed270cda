//! Files in and files out: every kind is read, known pixels come back bit for bit, what a file says
//! beside its pixels travels with them, bad input is a one-line error that names the file, and no
//! output is ever half-written.

mod alpha;
mod damage;
mod extension;
mod files;
mod hostile;
mod masks;
mod metadata;
mod support;
mod tiff;
