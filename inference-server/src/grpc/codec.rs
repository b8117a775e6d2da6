//! Messages on the wire, with a bound on what one can grow to: a request of some MiB that is all empty lists' elements
//! would take a hundred times as much memory.

use std::{any::TypeId, marker::PhantomData};

use prost::{
    DecodeError, Message,
    bytes::Buf,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use super::{error::CallError, proto::ModelInferRequest};
use crate::http::rows::MOST_TEXTS;

/// Elements of lists other than texts, in a message as a whole.
const MOST_ELEMENTS: usize = 256;

/// Bytes of numbers, which no text is.
const MOST_NUMBERS: usize = 4096;

/// The codec of protocol buffers for messages that stay within bounds.
#[derive(Debug)]
pub struct Bounded<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Bounded<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Bounded<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<T, U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(ProstCodec::<T, U>::default().decoder(), PhantomData)
    }
}

/// Reads messages that stay within bounds.
#[derive(Debug)]
pub struct BoundedDecoder<T, U>(<ProstCodec<T, U> as Codec>::Decoder, PhantomData<T>)
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static;

impl<T, U> Decoder for BoundedDecoder<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Item = U;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // The others have nothing in them that grows.
        if TypeId::of::<U>() == TypeId::of::<ModelInferRequest>() {
            check(source.chunk())?;
        }
        self.0.decode(source)
    }
}

/// Counts what would be held in lists.
#[derive(Default)]
struct Counted {
    elements: usize,
    texts: usize,
    numbers: usize,
}

/// Where a field stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Request,
    Input,
    Output,
    Contents,
}

/// Refuses a request for an inference that would grow beyond all that a good one needs.
fn check(message: &[u8]) -> Result<(), CallError> {
    let mut counted = Counted::default();
    counted
        .walk(message, Level::Request)
        .map_err(|error| CallError::invalid(format!("the message is broken: {error}")))?;
    if counted.texts > MOST_TEXTS {
        return Err(CallError::invalid(format!("1 to {MOST_TEXTS} texts are allowed, not {}", counted.texts)));
    }
    if counted.numbers > MOST_NUMBERS {
        return Err(CallError::invalid("the input's datatype must be BYTES: numbers came"));
    }
    if counted.elements > MOST_ELEMENTS {
        return Err(CallError::invalid(format!("more than {MOST_ELEMENTS} inputs, outputs and parameters came")));
    }
    Ok(())
}

impl Counted {
    fn walk(&mut self, mut rest: &[u8], level: Level) -> Result<(), DecodeError> {
        while rest.has_remaining() {
            let (tag, wire_type) = decode_key(&mut rest)?;
            if wire_type != WireType::LengthDelimited {
                let before = rest.len();
                skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
                self.numbers += before - rest.len();
                continue;
            }
            let length = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
            let Some((field, after)) = rest.split_at_checked(length) else {
                // What comes of it is the decoder's to tell.
                return Ok(());
            };
            rest = after;
            match (level, tag) {
                (Level::Request, 5) => self.part(field, Level::Input)?,
                (Level::Request, 6) => self.part(field, Level::Output)?,
                (Level::Request, 4 | 7) | (Level::Input, 4) | (Level::Output, 2) => self.elements += 1,
                (Level::Input, 5) => self.part(field, Level::Contents)?,
                (Level::Contents, 8) => self.texts += 1,
                (Level::Input, 3) | (Level::Contents, _) => self.numbers += length,
                _ => {}
            }
        }
        Ok(())
    }

    fn part(&mut self, field: &[u8], level: Level) -> Result<(), DecodeError> {
        self.elements += 1;
        self.walk(field, level)
    }
}

#[cfg(test)]
mod tests {
    use prost::bytes::Bytes;

    use super::*;
    use crate::grpc::proto::{
        InferParameter, InferTensorContents,
        model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
    };

    fn with(contents: InferTensorContents) -> ModelInferRequest {
        let input = InferInputTensor { contents: Some(contents), shape: vec![1000], ..InferInputTensor::default() };
        ModelInferRequest { inputs: vec![input], model_name: "m".repeat(100_000), ..ModelInferRequest::default() }
    }

    fn texts(number: usize) -> ModelInferRequest {
        with(InferTensorContents { bytes_contents: vec![Bytes::from_static(b"text"); number], ..Default::default() })
    }

    fn refused(request: &ModelInferRequest) -> Option<String> {
        check(&request.encode_to_vec()).err().map(|error| error.to_string())
    }

    #[test]
    fn as_many_texts_as_are_taken() {
        assert_eq!(refused(&texts(1000)), None);
        assert_eq!(refused(&texts(1001)).unwrap(), "1 to 1000 texts are allowed, not 1001");
    }

    #[test]
    fn what_would_grow_is_refused() {
        let none = ModelInferRequest::default();
        let outputs = vec![InferRequestedOutputTensor::default(); 1000];
        let parameters = (0..1000).map(|number| (number.to_string(), InferParameter::default())).collect();
        for request in [
            ModelInferRequest { outputs, ..none.clone() },
            ModelInferRequest { inputs: vec![InferInputTensor::default(); 1000], ..none.clone() },
            ModelInferRequest { raw_input_contents: vec![Bytes::new(); 1000], ..none.clone() },
            ModelInferRequest { parameters, ..none },
            with(InferTensorContents { int64_contents: vec![0; 10_000], ..Default::default() }),
            with(InferTensorContents { bool_contents: vec![true; 10_000], ..Default::default() }),
        ] {
            assert!(refused(&request).is_some());
        }
        // Each with its own key, as old clients send them.
        let numbers = [0x18, 0].repeat(10_000);
        let mut input = vec![0x2a];
        prost::encoding::encode_varint(numbers.len() as u64, &mut input);
        input.extend(numbers);
        assert!(check(&input).is_err());
    }

    #[test]
    fn a_message_that_is_cut_is_left_to_the_decoder() {
        let whole = texts(3).encode_to_vec();
        for end in 0..whole.len().min(200) {
            let _ = check(&whole[..end]);
        }
        assert!(check(&[0xff; 20]).is_err());
    }
}
