// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The adjoint network on rows of one input: gradients of all tensors as far as those rows need them.
///
/// `keepMask` sees the forward pass, `outputRow` is filled with the outputs' gradients, and `propagate` takes them to the
/// input.
final class AdjointPass {
  let adjoint: AdjointProgram
  /// The input whose gradient is wanted.
  private let input: Int
  private let program: NetworkProgram
  private let heights: [Int]
  private let threads: Int
  /// Of each tensor, whether it is an output whose gradient comes from outside.
  private let isFilled: [Bool]
  /// Of each tensor, the rows that depend on those of the input. Planes of outputs that are filled may have more.
  private let reached: [Range<Int>]
  private var planes: [GradientPlane] = []
  /// Of tensors with an activation: [rows of the plane][width · channels].
  private var masks: [AlignedBuffer<UInt8>?] = []
  /// Integers of the forward pass where a step needs them: [rows of the plane][width · channels].
  private var values: [AlignedBuffer<Int16>?] = []
  private let zeros: AlignedBuffer<Int16>

  /// Rows of all outputs whose gradients count, in the program's units: a forward pass for the masks makes these. They are
  /// the rows that the input's rows lie in, whether a model's outputs depend on them there or not, and all that do depend.
  let outputUnits: Range<Int>

  /// Rows of an output whose gradient counts: those of `outputUnits`.
  func outputRows(_ output: Int = 0) -> Range<Int> { planes[program.outputs[output].tensor].rows }

  /// `rows` are those of the input, `width` × `height` the padded picture. The first `filled` outputs, all if it is nil, get
  /// gradients from outside before each `propagate`; no others do.
  init(
    _ adjoint: AdjointProgram, input: Int = 0, width: Int, height: Int, rows: Range<Int>, filling filled: Int? = nil,
    threads: Int, _ pool: MemoryPool? = nil
  ) {
    self.adjoint = adjoint
    self.input = input
    self.threads = threads
    program = adjoint.forward
    let heights = program.tensors.map { height / $0.divisor }
    self.heights = heights
    var low = [Int](repeating: Int.max, count: heights.count)
    var high = [Int](repeating: -1, count: heights.count)
    low[input] = rows.lowerBound
    high[input] = rows.upperBound - 1
    for t in program.tensors.indices where high[t] >= 0 {
      for c in adjoint.contributions[t] {
        let first = c.step.outputRows(low[t], height: heights[t]).lowerBound
        let last = c.step.outputRows(high[t], height: heights[t]).upperBound
        low[c.output] = min(low[c.output], min(max(first, 0), heights[c.output] - 1))
        high[c.output] = max(high[c.output], min(max(last, 0), heights[c.output] - 1))
      }
    }
    // Whole units of the outputs.
    let divisor = program.tensors[input].divisor
    var units =
      (rows.lowerBound * divisor / program.unit)..<((rows.upperBound * divisor + program.unit - 1) / program.unit)
    for (i, output) in program.outputs.enumerated() where high[output.tensor] >= 0 {
      let perUnit = program.rowsPerUnit(output: i)
      let needed = (low[output.tensor] / perUnit)..<(high[output.tensor] / perUnit + 1)
      units = min(units.lowerBound, needed.lowerBound)..<max(units.upperBound, needed.upperBound)
    }
    func ranges() -> [Range<Int>] { heights.indices.map { high[$0] >= 0 ? low[$0]..<(high[$0] + 1) : 0..<0 } }
    reached = ranges()
    let outputs = program.outputs.prefix(filled ?? program.outputs.count)
    isFilled = heights.indices.map { t in outputs.contains { $0.tensor == t } }
    for (i, output) in outputs.enumerated() {
      let perUnit = program.rowsPerUnit(output: i)
      low[output.tensor] = min(low[output.tensor], units.lowerBound * perUnit)
      high[output.tensor] = max(high[output.tensor], units.upperBound * perUnit - 1)
    }
    outputUnits = units
    let tensorRows = ranges()
    planes = Self.planes(adjoint, width: width, tensorRows, isFilled, pool)
    zeros = AlignedBuffer(count: planes.reduce(0) { max($0, $1.stride) } + Int(SC_ROW_SLACK), zero: 0)
    for (t, plane) in planes.enumerated() {
      let count = plane.rows.count * plane.width * plane.channels
      let isMasked = count > 0 && adjoint.activations[t] != .none
      masks.append(isMasked ? AlignedBuffer(count: count, zero: 0, pool) : nil)
      let needsValues = count > 0 && adjoint.contributions[t].contains { $0.step.needsValues }
      values.append(needsValues ? AlignedBuffer(count: count, zero: 0, pool) : nil)
    }
  }

  /// The planes of all tensors, which share memory: a plane is not needed after its layer's inputs have their gradients. But
  /// those of outputs that are filled are so before a pass begins.
  private static func planes(
    _ adjoint: AdjointProgram, width: Int, _ rows: [Range<Int>], _ isFilled: [Bool], _ pool: MemoryPool?
  ) -> [GradientPlane] {
    let program = adjoint.forward
    var last = [Int](repeating: -1, count: rows.count)
    for t in rows.indices.reversed() where !rows[t].isEmpty {
      for contribution in adjoint.contributions[t] { last[contribution.output] = t }
    }
    var planes = [GradientPlane?](repeating: nil, count: rows.count)
    var idle: [(plane: GradientPlane, tensor: Int)] = []
    for t in rows.indices.reversed() {
      let (channels, width) = (program.tensors[t].channels, width / program.tensors[t].divisor)
      let fitting = idle.lastIndex { plane, other in
        !isFilled[t] && plane.rows.count >= rows[t].count && plane.width == width && plane.channels == channels
          && adjoint.left[other] == adjoint.left[t] && adjoint.right[other] == adjoint.right[t]
      }
      planes[t] =
        fitting.map { GradientPlane(rows[t], inMemoryOf: idle.remove(at: $0).plane) }
        ?? GradientPlane(
          rows: rows[t], width: width, channels: channels, left: adjoint.left[t], right: adjoint.right[t], pool)
      for other in rows.indices where last[other] == t && !isFilled[other] {
        if let plane = planes[other] { idle.append((plane, other)) }
      }
    }
    return planes.compactMap { $0 }
  }

  /// Sees rows of a forward pass that makes units `output` of the outputs.
  func keepMask(_ tensor: Int, _ y: Int, _ row: UnsafePointer<Int16>, output: Range<Int>) {
    if masks[tensor] == nil && values[tensor] == nil { return }
    let plane = planes[tensor]
    guard plane.rows.contains(y) else { return }
    // Rows near the edge of two threads' bands come from both, and are kept from one.
    let at = y * program.tensors[tensor].divisor
    if at < output.lowerBound * program.unit && output.lowerBound > outputUnits.lowerBound { return }
    if at >= output.upperBound * program.unit && output.upperBound < outputUnits.upperBound { return }
    let count = plane.width * plane.channels
    let offset = (y - plane.rows.lowerBound) * count
    if let mask = masks[tensor] {
      sc_gradient_mask(
        row, count, program.tensors[tensor].hi, Int32(adjoint.activations[tensor].leakyShift), mask.base + offset)
    }
    if let values = values[tensor] { (values.base + offset).update(from: row, count: count) }
  }

  /// A row of `outputRows`, to be filled.
  func outputRow(_ y: Int, output: Int = 0) -> UnsafeMutablePointer<Int16> {
    let plane = planes[program.outputs[output].tensor]
    precondition(plane.rows.contains(y), "a row that the pass does not have")
    return plane.row(y)
  }

  /// The gradient of the input's row.
  func inputRow(_ y: Int) -> UnsafePointer<Int16> { UnsafePointer(planes[input].row(y)) }

  /// Gradient[c] is inputRow's integer over this.
  var inputScales: [Double] { adjoint.scales[input] }

  /// From the outputs' gradients to that of the input.
  func propagate() {
    for t in program.tensors.indices.reversed() where !reached[t].isEmpty {
      if isFilled[t] && adjoint.contributions[t].isEmpty { continue }
      let rows = reached[t]
      let chunk = max(1, min(8, rows.count / (2 * threads)))
      parallel(threads: threads, count: (rows.count + chunk - 1) / chunk) { i in
        let plane = planes[t]
        let beyond = adjoint.contributions[t].reduce(0) { max($0, $1.step.scratchColumns) }
        let scratch = AdjointScratch(
          rowSize: (plane.width + beyond) * plane.channels, zeros: UnsafePointer(zeros.base), ones: adjoint.ones,
          program.kernels)
        let first = rows.lowerBound + i * chunk
        for y in first..<min(first + chunk, rows.upperBound) { compute(t, y, scratch) }
      }
    }
  }

  private func compute(_ tensor: Int, _ y: Int, _ scratch: AdjointScratch) {
    let plane = planes[tensor]
    let to = plane.row(y)
    let count = plane.width * plane.channels
    let contributions = adjoint.contributions[tensor]
    let offset = (y - plane.rows.lowerBound) * count
    // What an output got from outside stays where other layers add to it.
    let overwrites = contributions.count == 1 && !isFilled[tensor] && contributions[0].step.canOverwrite
    if !isFilled[tensor], !overwrites { to.update(repeating: 0, count: count) }
    for contribution in contributions {
      contribution.step.accumulate(
        y, height: heights[tensor], from: planes[contribution.output], to: plane,
        values: values[tensor].map { UnsafePointer($0.base + offset) }, overwrites: overwrites, scratch)
    }
    if let mask = masks[tensor] {
      sc_gradient_apply_mask(to, mask.base + offset, count, Int32(adjoint.activations[tensor].leakyShift))
    }
  }
}
