// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// An 8-bit 4:2:0 frame with margins, as motion compensation reads it.
final class MotionFrame {
  let width: Int
  let height: Int
  private let memory: AlignedBuffer<UInt8>
  fileprivate(set) var frame: sc_motion_frame

  init(width: Int, height: Int) {
    self.width = width
    self.height = height
    memory = AlignedBuffer(count: sc_motion_frame_size(Int32(width), Int32(height)), zero: 0)
    frame = sc_motion_frame_make(memory.base, Int32(width), Int32(height))
  }

  private var planes: [sc_motion_plane] { [frame.plane.0, frame.plane.1, frame.plane.2] }

  /// The picture's samples, for networks to read and write.
  var view: PictureView {
    PictureView(
      width: width, height: height, format: .yuv420,
      components: planes.map { sc_component(base: $0.samples, step: 1, row_stride: $0.stride) })
  }

  /// Continues the samples of a row of 16×16 blocks to its left and right.
  func pad(row: Int) {
    for (c, plane) in planes.enumerated() {
      let size = c == 0 ? 16 : 8
      withUnsafePointer(to: plane) {
        sc_motion_plane_pad_rows($0, Int32(size * row), min(Int32(size * (row + 1)), plane.height))
      }
    }
  }

  /// Continues the samples above and below the picture, when all rows have been.
  func padEnds() {
    for plane in planes { withUnsafePointer(to: plane) { sc_motion_plane_pad_ends($0) } }
  }

  /// The frame as a picture of its own.
  var picture: Picture {
    var picture = Picture(
      unchecked: width, height, .yuv420,
      [UInt8](repeating: 0, count: PixelFormat.yuv420.sampleCount(width: width, height: height)))
    picture.withMutableView { copy(to: $0) }
    return picture
  }

  /// Takes the samples of a 4:2:0 picture of the frame's size, and continues them.
  func take(_ picture: Picture) {
    picture.withView { $0.copy(to: view) }
    for row in 0..<((height + 15) / 16) { pad(row: row) }
    padEnds()
  }

  /// Copies the samples into memory of the caller, of the frame's size and 4:2:0.
  func copy(to picture: PictureView) { view.copy(to: picture) }
}

/// In how many parts rows are handed to threads.
func parts(of rows: Int, _ execution: Execution) -> Int {
  execution.threads <= 1 ? 1 : max(1, min(4 * execution.threads, rows))
}

/// The vectors of a frame's blocks and those of the frame before; or second vectors, of blocks that are the mean of two
/// predictions: these have as those of the frame before where the first ones lead.
final class MotionField {
  let blocksX: Int
  let blocksY: Int
  private var vectors: AlignedBuffer<sc_vector>
  private var before: AlignedBuffer<sc_vector>
  private let modes: AlignedBuffer<UInt8>
  /// Blocks that have second vectors; nil for first ones.
  let flags: BlockFlags?
  /// Of the encoder alone, made when it first needs them.
  private lazy var symbols = AlignedBuffer<sc_motion_symbol>(
    count: Int(SC_MOTION_SYMBOLS_PER_BLOCK) * blocksX * blocksY, zero: sc_motion_symbol())
  /// Whether the frame before had vectors.
  private(set) var hasPrevious = false
  /// The set of tables that the encoder chose last: the next frame's is likely the same.
  private(set) var chosenSet = 0

  init(width: Int, height: Int, isSecond: Bool = false) {
    blocksX = Int(sc_motion_blocks(Int32(width)))
    blocksY = Int(sc_motion_blocks(Int32(height)))
    flags = isSecond ? BlockFlags(width: width, height: height) : nil
    vectors = AlignedBuffer(count: 4 * blocksX * blocksY, zero: sc_vector())
    before = AlignedBuffer(count: 4 * blocksX * blocksY, zero: sc_vector())
    modes = AlignedBuffer(count: blocksX * blocksY, zero: 0)
  }

  var field: sc_motion_field {
    sc_motion_field(
      blocks_x: Int32(blocksX), blocks_y: Int32(blocksY), vectors: vectors.base, modes: modes.base, coded: flags?.base)
  }

  var previous: UnsafePointer<sc_vector>? { hasPrevious ? UnsafePointer(before.base) : nil }

  /// Makes the vectors those of the frame before.
  func advance() {
    swap(&vectors, &before)
    hasPrevious = true
  }

  /// After an intra frame there are no vectors.
  func reset() {
    hasPrevious = false
    flags?.reset()
  }

  /// Begins second vectors: all as blocks without them have them. The first ones are those of a frame that has a previous
  /// one's.
  func begin(after first: MotionField) {
    var field = first.field
    sc_motion_second_vectors(&field, first.before.base, before.base)
    vectors.base.update(from: before.base, count: before.count)
    hasPrevious = true
  }

  /// Predicts a frame from the padded reference; with second vectors, the second prediction of blocks that have two.
  func compensate(_ reference: MotionFrame, into out: MotionFrame, _ execution: Execution) {
    let kernels = sc_motion_kernels_get(sc_cpu(UInt32(execution.cpu.rawValue)))
    let rows = blocksY
    let parts = parts(of: rows, execution)
    parallel(threads: execution.threads, count: parts) { i in
      var (from, to, field) = (reference.frame, out.frame, field)
      let (first, end) = (Int32(i * rows / parts), Int32((i + 1) * rows / parts))
      if flags == nil {
        sc_motion_compensate(kernels, &from, &field, first, end, &to)
      } else {
        sc_motion_compensate_second(kernels, &from, &field, first, end, &to)
      }
    }
  }

  /// Reads a frame's vectors, and the set of tables that they are coded with; of second ones first the blocks that have them.
  /// False for a damaged payload.
  func decode(_ decoder: inout PayloadDecoder, _ tables: MotionTables) -> Bool {
    if let flags {
      if !flags.decode(&decoder) { return false }
      if !flags.isUsed { return true }
    }
    var set = 0
    while set + 1 < tables.sets {
      let flag = sc_rans_decode_flag(&decoder.state, 0, 1 << 14)
      if flag < 0 { return false }
      if flag == 0 { break }
      set += 1
    }
    var field = field
    return sc_motion_decode(&decoder.state, 0, tables.table(set), &field, previous) == 0
  }

  /// Appends the vectors, under the set of tables that makes them shortest.
  func encode(_ encoder: PayloadEncoder, _ tables: MotionTables) {
    if let flags {
      flags.encode(encoder)
      if !flags.isUsed { return }
    }
    var field = field
    let symbols = symbols
    let count = sc_motion_symbols(&field, previous, symbols.base)
    var least = UInt64.max
    for candidate in 0..<tables.sets {
      let bits = sc_motion_bits(symbols.base, count, tables.costs(candidate))
      if bits < least { (least, chosenSet) = (bits, candidate) }
    }
    encoder.reserve(count + tables.sets)
    for i in 0..<min(chosenSet + 1, tables.sets - 1) {
      sc_rans_encode_flag(&encoder.state, 0, 1 << 14, i < chosenSet ? 1 : 0)
    }
    sc_motion_encode(&encoder.state, 0, tables.table(chosenSet), symbols.base, count)
  }
}

/// The encoder's search for vectors (sc_motion.h). Its result depends on neither the machine nor the number of threads.
final class MotionSearch {
  private let memory: AlignedBuffer<UInt8>
  private var search: sc_motion_search
  /// Blocks of each row that have been decided.
  private let decided: AlignedBuffer<Int32>

  init(width: Int, height: Int) {
    memory = AlignedBuffer(count: sc_motion_search_size(Int32(width), Int32(height)), zero: 0)
    search = sc_motion_search_make(memory.base, Int32(width), Int32(height))
    decided = AlignedBuffer(count: Int(search.blocks_y), zero: 0)
  }

  /// Finds the vectors of a frame. `lambda` is the sum of squared differences that a bit is worth; `effort` is 0…2. For second
  /// vectors, which have begun, `single` is the frame that the first ones predict, whose margins are written.
  func run(
    _ frame: PictureView, _ reference: MotionFrame, single: MotionFrame? = nil, _ field: MotionField,
    _ tables: MotionTables, lambda: Double, effort: Int, _ execution: Execution
  ) {
    var predicted = single?.frame.plane.0 ?? sc_motion_plane()
    let lambda = single == nil ? lambda : Double(SC_MOTION_SECOND_LAMBDA) * lambda
    withUnsafePointer(to: reference.frame.plane.0) { luma in
      withUnsafePointer(to: &predicted) { predicted in
        search.kernels = sc_motion_kernels_get(sc_cpu(UInt32(execution.cpu.rawValue)))
        search.costs = tables.costs(field.chosenSet)
        search.reference = luma
        search.previous = field.previous
        search.single = single == nil ? nil : predicted
        if let costs = field.flags?.costs {
          search.flag_cost = (
            (costs[0].zero, costs[0].one), (costs[1].zero, costs[1].one), (costs[2].zero, costs[2].one)
          )
        }
        search.lambda = UInt32(min(Double(SC_MOTION_LAMBDA_LIMIT), max(1, (16 * lambda).rounded())))
        search.effort = Int32(effort)
        let source = frame.components[0]
        let rows = field.blocksY
        let parts = parts(of: rows, execution)
        func forEachPart(_ stage: (inout sc_motion_search, _ first: Int32, _ end: Int32) -> Void) {
          parallel(threads: execution.threads, count: parts) { i in
            var copy = search
            stage(&copy, Int32(i * rows / parts), Int32((i + 1) * rows / parts))
          }
        }
        forEachPart { sc_motion_search_load(&$0, source.base, source.row_stride, $1, $2) }
        sc_motion_search_pad(&search)
        forEachPart { sc_motion_search_coarse(&$0, $1, $2) }
        forEachPart { sc_motion_search_whole(&$0, $1, $2) }
        decide(field, execution)
        search.reference = nil
        search.single = nil
      }
    }
    guard let flags = field.flags else { return }
    flags.isUsed = (0..<(field.blocksX * field.blocksY)).contains { flags.base[$0] == 1 }
  }

  /// Rows are decided side by side, each some blocks behind the one above: its top right neighbours are known.
  private func decide(_ field: MotionField, _ execution: Execution) {
    let (target, count) = (field.field, field.blocksX)
    decided.base.update(repeating: 0, count: decided.count)
    parallel(threads: execution.threads, count: field.blocksY) { row in
      var (search, target) = (search, target)
      for first in stride(from: 0, to: count, by: 4) {
        let end = min(first + 4, count)
        if row > 0 { sc_counter_wait(decided.base + row - 1, Int32(min(end + 1, count))) }
        sc_motion_search_decide(&search, &target, Int32(row), Int32(first), Int32(end))
        sc_counter_set(decided.base + row, Int32(end))
      }
    }
  }
}
