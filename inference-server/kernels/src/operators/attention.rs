//! Attention for texts that stand one after another, without padding.
//!
//! ONNX Runtime's CPU provider has attention for padded batches only. This is the part of a graph
//! that has to know where a text ends; `models/prepare` puts it into one. The algorithm is
//! the textbook's, softmax(Q Kᵀ · scale) V for each text and head, in f32.

use std::{cell::RefCell, ops::Range};

use ort::{
    operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput},
    value::ValueRef,
};
use pulp::{Arch, Simd, WithSimd};

use super::{
    DISTANCES_IN, FLOATS_OUT, STARTS_IN, bad,
    dense::{Dense, Floats, Products, Reads},
    inputs, texts,
};

/// Reads `query`, `key` and `value`; then `cu_seqlens` (i64, texts + 1: where each text begins, and where the
/// last ends), and where scores depend on how far tokens are apart `distances` (f32, heads × an odd number: what is
/// added to the score of a token by how far it is behind the one that asks, which is in the middle; what is farther is
/// as the farthest). Attributes `num_heads` and `scale`. Output f32, tokens × width.
pub(super) struct VarlenAttention(pub(super) Reads);

impl Operator for VarlenAttention {
    type Kernel<'attr> = VarlenKernel;

    fn name(&self) -> &'static str {
        match self.0 {
            Reads::Floats => "VarlenAttention",
            Reads::Products => "QuantizedVarlenAttention",
        }
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        self.0.inputs(3).into_iter().chain([STARTS_IN, DISTANCES_IN])
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [FLOATS_OUT]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<VarlenKernel> {
        let heads: Option<i64> = context.get("num_heads");
        let heads = heads.and_then(|heads| usize::try_from(heads).ok()).filter(|heads| *heads > 0);
        let scale = context.get("scale").ok_or_else(|| bad("attention has no scale"))?;
        Ok(VarlenKernel { reads: self.0, heads: heads.ok_or_else(|| bad("attention has no num_heads"))?, scale })
    }
}

pub(super) struct VarlenKernel {
    reads: Reads,
    heads: usize,
    scale: f32,
}

impl Kernel for VarlenKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let of_one = self.reads.width();
        let required = 3 * of_one + 1;
        let values = inputs(context, required)?;
        let starts = values[required - 1].try_extract_tensor::<i64>()?.1;
        let distances = if context.num_inputs()? > required { context.input(required)? } else { None };
        let distances = match &distances {
            Some(distances) => Some(Distances::of(distances, self.heads)?),
            None => None,
        };
        match self.reads {
            Reads::Floats => {
                let floats = |index: usize| Floats::of(&values[index]);
                self.attend(context, [floats(0)?, floats(1)?, floats(2)?], starts, distances)
            }
            Reads::Products => {
                let products = |index: usize| Products::of(&values[index * of_one..(index + 1) * of_one], starts);
                self.attend(context, [products(0)?, products(1)?, products(2)?], starts, distances)
            }
        }
    }
}

impl VarlenKernel {
    fn attend<D: Dense>(
        &self,
        context: &ComputeContext,
        layers: [D; 3],
        starts: &[i64],
        distances: Option<Distances<'_>>,
    ) -> ort::Result<()> {
        let [query, key, value] = layers;
        let (tokens, width) = (query.tokens(), query.width());
        if width % self.heads != 0 || layers.iter().any(|layer| (layer.tokens(), layer.width()) != (tokens, width)) {
            return Err(bad("query, key and value aren't of one shape that heads divide"));
        }
        let texts = texts(starts, tokens)?;
        let mut output = context.output(0, [tokens, width])?.ok_or_else(|| bad("the output is missing"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let layer = Layer { query, key, value, width, size: width / self.heads, scale: self.scale, distances };
        SCRATCH
            .with_borrow_mut(|scratch| Arch::new().dispatch(Attend { layer: &layer, texts: &texts, output, scratch }));
        Ok(())
    }
}

/// What is added to scores by distance.
#[derive(Clone, Copy)]
struct Distances<'a> {
    numbers: &'a [f32],
    /// The farthest distance that has a number of its own.
    reach: usize,
}

impl<'a> Distances<'a> {
    fn of(value: &'a ValueRef<'_>, heads: usize) -> ort::Result<Self> {
        let (_, numbers) = value.try_extract_tensor::<f32>()?;
        let of_head = numbers.len() / heads;
        if !numbers.len().is_multiple_of(heads) || of_head.is_multiple_of(2) {
            return Err(bad("distances aren't as many to both sides for each head"));
        }
        Ok(Self { numbers, reach: of_head / 2 })
    }

    /// The numbers for a text: from its first token as it is seen by the last one, to the last as seen by the first.
    fn spread(self, head: usize, tokens: usize, into: &mut Vec<f32>) {
        let of_head = &self.numbers[head * (2 * self.reach + 1)..(head + 1) * (2 * self.reach + 1)];
        let near = self.reach.min(tokens.saturating_sub(1));
        let far = tokens.saturating_sub(1) - near;
        into.clear();
        into.resize(far, of_head[0]);
        into.extend_from_slice(&of_head[self.reach - near..=self.reach + near]);
        into.resize(into.len() + far, of_head[2 * self.reach]);
    }
}

/// What one node attends over.
struct Layer<'a, D> {
    query: D,
    key: D,
    value: D,
    /// Of a token, in numbers.
    width: usize,
    /// Of a head, in numbers.
    size: usize,
    scale: f32,
    distances: Option<Distances<'a>>,
}

/// What a thread needs for one head of one text, kept from run to run. Numbers stand in vectors of as
/// many as one instruction of the CPU takes.
#[derive(Default)]
struct Scratch {
    /// One token's part of a head, as it is read.
    part: Vec<f32>,
    /// For each of [`ROWS`] queries its part of the head.
    queries: Vec<f32>,
    /// For each vector of tokens, and each dimension of the head: the tokens' keys.
    keys: Vec<f32>,
    /// For each vector of the head, and each token: its value.
    values: Vec<f32>,
    /// For each vector of tokens, and each of [`ROWS`] queries: scores, then weights.
    weights: Vec<f32>,
    /// What is added to the head's scores, by distance; as [`Distances::spread`] has it, and up to a whole number of
    /// vectors. Empty where nothing is.
    distances: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Queries at once: as many sums as keep the multipliers of a CPU busy, and stay in its registers.
const ROWS: usize = 8;

/// All heads of all texts.
struct Attend<'a, D> {
    layer: &'a Layer<'a, D>,
    texts: &'a [Range<usize>],
    output: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl<D: Dense> WithSimd for Attend<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, texts, output, scratch } = self;
        for (text, tokens) in texts.iter().enumerate() {
            for head in (0..layer.width).step_by(layer.size) {
                scratch.load::<S, D>(layer, text, tokens, head);
                for row in tokens.clone().step_by(ROWS) {
                    let rows = row..tokens.end.min(row + ROWS);
                    scratch.ask(layer, text, &rows, head);
                    let first = row - tokens.start;
                    let highest = scratch.score(simd, layer.size, layer.scale, tokens.len(), first);
                    let totals = scratch.weigh(simd, highest);
                    scratch.mix(simd, layer, rows, head, totals, output);
                }
            }
        }
    }
}

impl Scratch {
    /// Copies a head's keys and values to where the loops below find them side by side.
    #[inline(always)]
    fn load<S: Simd, D: Dense>(&mut self, layer: &Layer<'_, D>, text: usize, range: &Range<usize>, head: usize) {
        let lanes = S::F32_LANES;
        let (tokens, size) = (range.len(), layer.size);
        self.part.resize(size, 0.0);
        self.keys.clear();
        self.keys.resize(tokens.div_ceil(lanes) * size * lanes, 0.0);
        self.values.clear();
        self.values.resize(size.div_ceil(lanes) * tokens * lanes, 0.0);
        self.weights.resize(tokens.div_ceil(lanes) * ROWS * lanes, 0.0);
        if let Some(distances) = layer.distances {
            distances.spread(head / size, tokens, &mut self.distances);
            self.distances.resize(tokens.next_multiple_of(lanes) + tokens, 0.0);
        } else {
            self.distances.clear();
        }
        for token in 0..tokens {
            layer.key.read(text, range.start + token, head..head + size, &mut self.part);
            let keys = &mut self.keys[token / lanes * size * lanes + token % lanes..];
            for (place, key) in keys.iter_mut().step_by(lanes).zip(&self.part) {
                *place = *key;
            }
            layer.value.read(text, range.start + token, head..head + size, &mut self.part);
            for (part, value) in self.part.chunks(lanes).enumerate() {
                let place = (part * tokens + token) * lanes;
                self.values[place..place + value.len()].copy_from_slice(value);
            }
        }
    }

    /// Reads the queries of rows. Where there are fewer than fit, the last is there again.
    #[inline(always)]
    fn ask<D: Dense>(&mut self, layer: &Layer<'_, D>, text: usize, rows: &Range<usize>, head: usize) {
        self.queries.resize(ROWS * layer.size, 0.0);
        for (index, query) in self.queries.chunks_exact_mut(layer.size).enumerate() {
            let token = (rows.start + index).min(rows.end - 1);
            layer.query.read(text, token, head..head + layer.size, query);
        }
    }

    /// Scores each token for each query, of which the first is the text's token of this number, and returns the
    /// highest of each query.
    #[inline(always)]
    fn score<S: Simd>(&mut self, simd: S, size: usize, scale: f32, tokens: usize, first: usize) -> [S::f32s; ROWS] {
        let lanes = S::F32_LANES;
        let mut queries: [&[f32]; ROWS] = [&[]; ROWS];
        for (query, of_row) in queries.iter_mut().zip(self.queries.chunks_exact(size)) {
            *query = of_row;
        }
        let mut highest = [simd.splat_f32s(f32::NEG_INFINITY); ROWS];
        let vectors = self.keys.chunks_exact(size * lanes).zip(self.weights.chunks_exact_mut(ROWS * lanes));
        for (vector, (keys, scores)) in vectors.enumerate() {
            let (keys, _) = S::as_simd_f32s(keys);
            let mut sums = [simd.splat_f32s(0.0); ROWS];
            for (dimension, key) in keys[..size].iter().enumerate() {
                for (sum, query) in sums.iter_mut().zip(queries) {
                    *sum = simd.mul_add_e_f32s(simd.splat_f32s(query[dimension]), *key, *sum);
                }
            }
            for sum in &mut sums {
                *sum = simd.mul_f32s(*sum, simd.splat_f32s(scale));
            }
            if !self.distances.is_empty() {
                for (row, sum) in sums.iter_mut().enumerate() {
                    let from = vector * lanes + tokens - 1 - (first + row).min(tokens - 1);
                    let (by_distance, _) = S::as_simd_f32s(&self.distances[from..from + lanes]);
                    *sum = simd.add_f32s(*sum, by_distance[0]);
                }
            }
            S::as_mut_simd_f32s(scores).0.copy_from_slice(&sums);
            let last = tokens - vector * lanes;
            if last < lanes {
                for scores in scores.chunks_exact_mut(lanes) {
                    scores[last..].fill(f32::NEG_INFINITY);
                }
            }
            for (highest, scores) in highest.iter_mut().zip(S::as_simd_f32s(scores).0) {
                *highest = simd.max_f32s(*highest, *scores);
            }
        }
        for highest in &mut highest {
            *highest = simd.splat_f32s(simd.reduce_max_f32s(*highest));
        }
        highest
    }

    /// Makes weights of the scores, and returns the sum of each query's.
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, simd: S, highest: [S::f32s; ROWS]) -> [f32; ROWS] {
        let mut totals = [simd.splat_f32s(0.0); ROWS];
        for weights in self.weights.chunks_exact_mut(ROWS * S::F32_LANES) {
            let (weights, _) = S::as_mut_simd_f32s(weights);
            for ((weights, highest), total) in weights.iter_mut().zip(highest).zip(&mut totals) {
                *weights = exponential(simd, simd.sub_f32s(*weights, highest));
                *total = simd.add_f32s(*total, *weights);
            }
        }
        let mut sums = [0.0; ROWS];
        for (sum, total) in sums.iter_mut().zip(totals) {
            *sum = simd.reduce_sum_f32s(total);
        }
        sums
    }

    /// Writes the values, mixed by weight.
    #[inline(always)]
    fn mix<S: Simd, D>(
        &self,
        simd: S,
        layer: &Layer<'_, D>,
        rows: Range<usize>,
        head: usize,
        totals: [f32; ROWS],
        output: &mut [f32],
    ) {
        let lanes = S::F32_LANES;
        let parts = layer.size.div_ceil(lanes);
        for (part, values) in self.values.chunks_exact(self.values.len() / parts).enumerate() {
            let (values, _) = S::as_simd_f32s(values);
            let mut sums = [simd.splat_f32s(0.0); ROWS];
            for (values, weights) in values.chunks(lanes).zip(self.weights.chunks_exact(ROWS * lanes)) {
                for (token, value) in values.iter().enumerate() {
                    for (row, sum) in sums.iter_mut().enumerate() {
                        *sum = simd.mul_add_e_f32s(simd.splat_f32s(weights[row * lanes + token]), *value, *sum);
                    }
                }
            }
            for ((row, sum), total) in rows.clone().zip(sums).zip(totals) {
                let at = row * layer.width + head + part * lanes;
                let until = at + lanes.min(layer.size - part * lanes);
                let mixed = simd.mul_f32s(sum, simd.splat_f32s(total.recip()));
                match S::as_mut_simd_f32s(&mut output[at..until]) {
                    ([whole, ..], _) => *whole = mixed,
                    ([], rest) => simd.partial_store_f32s(rest, mixed),
                }
            }
        }
    }
}

/// e to the power of `x`, for `x` of at most 0; below -87 it is 0. Off by at most 2 units in the last
/// place: 2ⁿ · e^r, with |r| up to ln 2 / 2, where Cephes' polynomial is used.
#[inline(always)]
fn exponential<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Adding it rounds to a whole number, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first exact when multiplied.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const COEFFICIENTS: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let fits = simd.greater_than_f32s(x, simd.splat_f32s(-87.0));
    let x = simd.select_f32s(fits, x, simd.splat_f32s(0.0));
    let rounded = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), simd.splat_f32s(ROUND));
    let n = simd.sub_f32s(rounded, simd.splat_f32s(ROUND));
    let mut r = x;
    for part in LN_2 {
        r = simd.mul_add_e_f32s(n, simd.splat_f32s(-part), r);
    }
    let mut polynomial = simd.splat_f32s(0.0);
    for coefficient in COEFFICIENTS {
        polynomial = simd.mul_add_e_f32s(polynomial, r, simd.splat_f32s(coefficient));
    }
    let fraction = simd.mul_add_e_f32s(simd.mul_f32s(polynomial, r), r, simd.add_f32s(r, simd.splat_f32s(1.0)));
    let exponent = simd.add_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(127));
    let power = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(23)));
    simd.select_f32s(fits, simd.mul_f32s(fraction, power), simd.splat_f32s(0.0))
}

#[cfg(test)]
mod tests {
    use super::{super::numbers, *};

    /// The definition, number by number, in f64.
    fn by_definition(layer: &Layer<'_, Floats<'_>>, texts: &[Range<usize>]) -> Vec<f64> {
        let mut output = vec![0.0; layer.query.numbers.len()];
        for (text, head) in texts.iter().flat_map(|text| (0..layer.width).step_by(layer.size).map(move |at| (text, at)))
        {
            let at =
                |numbers: &[f32], token: usize, index: usize| f64::from(numbers[token * layer.width + head + index]);
            for row in text.clone() {
                let score = |token: usize| {
                    let product: f64 = (0..layer.size)
                        .map(|index| at(layer.query.numbers, row, index) * at(layer.key.numbers, token, index))
                        .sum();
                    let by_distance = layer.distances.map_or(0.0, |distances| {
                        let reach = i64::try_from(distances.reach).unwrap();
                        let apart = i64::try_from(token).unwrap() - i64::try_from(row).unwrap();
                        let place = usize::try_from(apart.clamp(-reach, reach) + reach).unwrap();
                        f64::from(distances.numbers[head / layer.size * (2 * distances.reach + 1) + place])
                    });
                    (product * f64::from(layer.scale) + by_distance).exp()
                };
                let total: f64 = text.clone().map(score).sum();
                for index in 0..layer.size {
                    let mixed: f64 =
                        text.clone().map(|token| score(token) * at(layer.value.numbers, token, index)).sum();
                    output[row * layer.width + head + index] = mixed / total;
                }
            }
        }
        output
    }

    /// What this CPU computes, and what one without vectors does.
    fn both(layer: &Layer<'_, Floats<'_>>, texts: &[Range<usize>]) -> [(&'static str, Vec<f32>); 2] {
        let mut scratch = Scratch::default();
        let mut compute = |arch: Arch| {
            let mut output = vec![f32::NAN; layer.query.numbers.len()];
            arch.dispatch(Attend { layer, texts, output: &mut output, scratch: &mut scratch });
            output
        };
        [("vectors", compute(Arch::new())), ("one by one", compute(Arch::Scalar))]
    }

    #[test]
    fn it_keeps_to_the_definition() {
        // Sizes of heads and texts around whole numbers of vectors and rows, an empty text among them.
        for (size, lengths) in [(32, [1, 24, 33]), (64, [16, 5, 0]), (20, [4, 2, 17])] {
            let starts = lengths.iter().fold(vec![0_i64], |mut starts, length| {
                starts.push(starts[starts.len() - 1] + length);
                starts
            });
            let tokens = usize::try_from(starts[3]).unwrap();
            let texts = texts(&starts, tokens).unwrap();
            let width = 3 * size;
            let [query, key, value] = [1, 2, 3].map(|seed| numbers(tokens * width, seed));
            let [query, key, value] = [&query, &key, &value].map(|numbers| Floats { numbers, width });
            // Then with what is added by distance: less far than the texts are long, as far, and farther.
            let numbers = numbers(3 * 81, 4);
            for reach in [None, Some(0), Some(1), Some(16), Some(40)] {
                let distances = reach.map(|reach| Distances { numbers: &numbers[..3 * (2 * reach + 1)], reach });
                let layer = Layer { query, key, value, width, size, scale: 1.5, distances };
                let expected = by_definition(&layer, &texts);
                for (way, output) in both(&layer, &texts) {
                    for (got, expected) in output.iter().zip(&expected) {
                        let off = (f64::from(*got) - expected).abs();
                        assert!(off < 2e-6, "{way}, heads of {size}, reach {reach:?}: {got}, not {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn far_apart_scores_neither_overflow_nor_vanish() {
        let [query, key, value] =
            [&[100.0, 100.0], &[-100.0, 100.0], &[1.0, 2.0]].map(|numbers| Floats { numbers, width: 1 });
        let layer = Layer { query, key, value, width: 1, size: 1, scale: 1.0, distances: None };
        for (way, output) in both(&layer, &texts(&[0, 2], 2).unwrap()) {
            assert_eq!(output, [2.0, 2.0], "{way}");
        }
    }
}
