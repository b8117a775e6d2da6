//! Operators whose panics end the run and not the process. ONNX Runtime calls them from C++, and a panic that
//! reaches it would abort.

use std::{
    any::Any,
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
};

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};

use super::bad;

/// An operator, or its kernel, whose panics become errors.
pub(super) struct Guarded<T>(pub(super) T);

impl<O: Operator> Operator for Guarded<O> {
    type Kernel<'attr> = Guarded<O::Kernel<'attr>>;

    const INPLACES: &[(u32, u32)] = O::INPLACES;
    const ALIASES: &[(u32, u32)] = O::ALIASES;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn versions(&self) -> RangeInclusive<u32> {
        self.0.versions()
    }

    fn execution_provider_type(&self) -> Option<&str> {
        self.0.execution_provider_type()
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        self.0.inputs()
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        self.0.outputs()
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        guard(|| self.0.create_kernel(context)).map(Guarded)
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        guard(|| self.0.infer_shape(context))
    }
}

impl<K: Kernel> Kernel for Guarded<K> {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        guard(|| self.0.compute(context))
    }
}

/// What was half done is seen by nobody: kernels hold only what never changes, a failed run's outputs are dropped, and
/// what a thread keeps from run to run is written anew before it is read.
fn guard<T>(act: impl FnOnce() -> ort::Result<T>) -> ort::Result<T> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(bad(&sentence(panic.as_ref()))))
}

fn sentence(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    // A C string ends at the first NUL.
    format!("the operator panicked: {}", message.unwrap_or("without a message").replace('\0', "\u{fffd}"))
}

#[cfg(test)]
mod tests {
    use std::{env, ffi::OsString, path::Path, sync::OnceLock};

    use ort::{environment::Environment, operator::OperatorDomain, session::Session, value::Tensor};

    use super::{super::FLOATS_IN, super::FLOATS_OUT, *};

    /// Panics when it is created with the attribute `broken`, and when it reads a number below 0.
    struct Panics;

    struct PanicsBelowZero;

    impl Operator for Panics {
        type Kernel<'attr> = PanicsBelowZero;

        fn name(&self) -> &'static str {
            "Panics"
        }

        fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
            [FLOATS_IN]
        }

        fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
            [FLOATS_OUT]
        }

        fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<PanicsBelowZero> {
            assert!(context.get::<i64>("broken").is_none(), "no kernel of this");
            Ok(PanicsBelowZero)
        }
    }

    impl Kernel for PanicsBelowZero {
        fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
            let input = context.input(0)?.ok_or_else(|| bad("no input"))?;
            let (shape, numbers) = input.try_extract_tensor::<f32>()?;
            let mut output = context.output(0, shape.clone())?.ok_or_else(|| bad("no output"))?;
            let output = output.try_extract_tensor_mut::<f32>()?.1;
            for (output, number) in output.iter_mut().zip(numbers) {
                assert!(*number >= 0.0, "a NUL\0 and {number}");
                *output = number + 1.0;
            }
            Ok(())
        }
    }

    /// ONNX Runtime as `make` fetches it.
    fn runtime() -> &'static Environment {
        static RUNTIME: OnceLock<Environment> = OnceLock::new();
        RUNTIME.get_or_init(|| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            let given = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
            let library = root.join(given.unwrap_or_else(|| OsString::from(".cache/onnxruntime/libonnxruntime.so")));
            assert!(library.is_file(), "ONNX Runtime is not at {}: run `make onnxruntime` first", library.display());
            ort::init_from(library).unwrap().with_telemetry(false).build().unwrap()
        })
    }

    /// A field of Protocol Buffers that holds bytes: fewer than 128, so that the length is one byte.
    fn field(number: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
        let content = content.as_ref();
        [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    }

    /// A graph of this one node, as onnx.proto has it. Sessions that are made at the same time can't register one domain.
    fn session(domain: &str, attribute: Option<&str>) -> ort::Result<Session> {
        let floats = |name: &str| {
            // A tensor of f32 with one dimension, `n`.
            let tensor = [vec![1 << 3, 1], field(2, field(1, field(2, "n")))].concat();
            [field(1, name), field(2, field(1, tensor))].concat()
        };
        // The number 1, and the type of numbers.
        let attribute =
            attribute.map(|name| field(5, [field(1, name), vec![3 << 3, 1, 20 << 3 & 0x7f | 0x80, 1, 2]].concat()));
        let node = [field(1, "input"), field(2, "output"), field(3, "the node"), field(4, "Panics"), field(7, domain)];
        let node = [node.concat(), attribute.unwrap_or_default()].concat();
        let graph =
            [field(1, node), field(2, "graph"), field(11, floats("input")), field(12, floats("output"))].concat();
        let opset = |domain: &str, version: u8| field(8, [field(1, domain), vec![2 << 3, version]].concat());
        let mut model = vec![1 << 3, 8];
        model.extend([opset("", 17), opset(domain, 1)].concat());
        // The graph's length takes two bytes.
        let length = u8::try_from(graph.len() >> 7).unwrap();
        model.extend([7 << 3 | 2, u8::try_from(graph.len() & 0x7f).unwrap() | 0x80, length]);
        model.extend(graph);
        let domain = OperatorDomain::new(domain)?.add(Guarded(Panics))?;
        Session::builder(runtime())?.with_intra_threads(1)?.with_operators(domain)?.commit_from_memory(&model)
    }

    fn run(session: &mut Session, numbers: &[f32]) -> Result<Vec<f32>, String> {
        let input = Tensor::from_array(([numbers.len()], numbers.to_vec())).unwrap();
        let outputs = session.run(ort::inputs![input]).map_err(|error| error.to_string())?;
        Ok(outputs["output"].try_extract_tensor::<f32>().unwrap().1.to_vec())
    }

    #[test]
    fn a_panic_fails_the_run_and_the_next_one_works() {
        let mut session = session("tests.runs", None).unwrap();
        for _ in 0..3 {
            assert_eq!(run(&mut session, &[1.0, 2.0]), Ok(vec![2.0, 3.0]));
            let error = run(&mut session, &[1.0, -2.0]).unwrap_err();
            assert!(
                error.contains("the node") && error.contains("the operator panicked: a NUL\u{fffd} and -2"),
                "{error}"
            );
        }
        assert_eq!(run(&mut session, &[7.0]), Ok(vec![8.0]));
    }

    #[test]
    fn a_panic_while_a_graph_is_loaded_is_its_error() {
        let error = session("tests.loads", Some("broken")).unwrap_err().to_string();
        assert!(error.contains("the operator panicked: no kernel of this"), "{error}");
        assert!(session("tests.loads", None).is_ok());
    }
}
