//! A session that many threads run at once.
//!
//! ONNX Runtime allows concurrent runs of one session, and then its weights are in memory once
//! however many threads there are. The `ort` crate asks for `&mut Session`, since some execution
//! providers don't allow it; a container of prepacked weights, its other way to share, leaves the
//! weights of a plain ONNX file duplicated. So this crate makes that one call itself, for the CPU
//! provider only.

use std::{ffi::CString, ptr};

use half::{bf16, f16};
use ort::{
    AsPointer,
    session::Session,
    sys::OrtValue,
    value::{TensorRef, TensorRefMut},
};

/// A session on the CPU provider, with the names by which it is fed and read.
pub struct SharedSession {
    session: Session,
    inputs: Vec<CString>,
    output: CString,
}

/// What an input is fed with, by the type of its elements.
#[expect(missing_docs, reason = "each is called as its type is")]
#[derive(Debug)]
pub enum InputRef<'a> {
    Int64(TensorRef<'a, i64>),
    Int32(TensorRef<'a, i32>),
    Bool(TensorRef<'a, bool>),
    Float32(TensorRef<'a, f32>),
    Float16(TensorRef<'a, f16>),
}

impl InputRef<'_> {
    fn ptr(&self) -> *const OrtValue {
        match self {
            Self::Int64(tensor) => tensor.ptr(),
            Self::Int32(tensor) => tensor.ptr(),
            Self::Bool(tensor) => tensor.ptr(),
            Self::Float32(tensor) => tensor.ptr(),
            Self::Float16(tensor) => tensor.ptr(),
        }
    }
}

/// Where the output is written, by the type of its elements.
#[expect(missing_docs, reason = "each is called as its type is")]
#[derive(Debug)]
pub enum OutputRef<'a> {
    Float64(TensorRefMut<'a, f64>),
    Float32(TensorRefMut<'a, f32>),
    Float16(TensorRefMut<'a, f16>),
    Bfloat16(TensorRefMut<'a, bf16>),
}

impl OutputRef<'_> {
    fn ptr(&self) -> *const OrtValue {
        match self {
            Self::Float64(tensor) => tensor.ptr(),
            Self::Float32(tensor) => tensor.ptr(),
            Self::Float16(tensor) => tensor.ptr(),
            Self::Bfloat16(tensor) => tensor.ptr(),
        }
    }
}

impl SharedSession {
    /// Wraps a session that was built without any execution provider but the default one.
    pub fn new(session: Session, inputs: &[&str], output: &str) -> ort::Result<Self> {
        let name = |name: &str| CString::new(name).map_err(|error| ort::Error::new(error.to_string()));
        let inputs = inputs.iter().copied().map(name).collect::<Result<_, _>>()?;
        Ok(Self { session, inputs, output: name(output)? })
    }

    /// Runs the graph. `inputs` are in the order of the names given to [`Self::new`]. ONNX Runtime
    /// itself checks every shape and type, that of `output` included, and answers an error.
    pub fn run(&self, inputs: &[InputRef<'_>], output: &mut OutputRef<'_>) -> ort::Result<()> {
        if inputs.len() != self.inputs.len() {
            return Err(ort::Error::new("another number of inputs than the session has names for"));
        }
        let names: Vec<_> = self.inputs.iter().map(|name| name.as_ptr()).collect();
        let values: Vec<_> = inputs.iter().map(InputRef::ptr).collect();
        let output_names = [self.output.as_ptr()];
        let mut outputs = [output.ptr().cast_mut()];
        let run = ort::api().Run;
        // SAFETY: every pointer comes from a live borrow that outlasts the call, and each array has
        // the length that is passed with it. The session pointer is mutable by the C signature
        // only: ONNX Runtime documents `Run` as safe to call from several threads on one session.
        #[expect(unsafe_code, reason = "ort has no safe call for this")]
        unsafe {
            let status = run(
                self.session.ptr().cast_mut(),
                ptr::null(),
                names.as_ptr(),
                values.as_ptr(),
                values.len(),
                output_names.as_ptr(),
                output_names.len(),
                outputs.as_mut_ptr(),
            );
            ort::Error::result_from_status(status)
        }
    }
}
