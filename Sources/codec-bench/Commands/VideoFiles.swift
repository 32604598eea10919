// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec
import SwiftCodecDefaultModel
import SwiftCodecFitting

/// Video streams at the command line: Y4M in and out, `-` for pipes.
enum VideoFiles {
  static let options = [
    OptionSpec("inter-model", value: "FILE", "video: the model of inter frames; the default is that in the library"),
    OptionSpec("intra-only", "video: every frame an intra frame"),
    OptionSpec("bitrate", value: "BITS", "video: bits a second on average, with a k or M behind if wanted"),
    OptionSpec("intra-period", value: "N", "video: an intra frame every N frames; by default only at new scenes"),
    OptionSpec("intra-offset", value: "Q", "video: added to the quality of intra frames; 24 by default"),
    OptionSpec("pattern", value: "LIST", "video: added to the quality of inter frames in turn; 8,-4,0,-4 by default"),
    OptionSpec("motion-weight", value: "W", "video: how much bits of vectors count; 1.1 by default"),
    OptionSpec("intra-rdoq", value: "KIND", "video: --rdoq of intra frames; fast by default"),
    OptionSpec("search-weight", value: "W", "video: what errors of inter frames count in the search; 0.8 by default"),
    OptionSpec("intra-search-weight", value: "W", "video: what errors of intra frames count in it; 2 by default"),
    OptionSpec("motion-effort", value: "N", "video: 0 to 2, 2 by default"),
  ]

  /// What is searched in inter and intra frames, and how well vectors are, at an effort of 0…9.
  private static let efforts: [(inter: RDOQ, intra: RDOQ, motion: Int)] = [
    (.off, .off, 0), (.off, .quick, 1), (.off, .fast, 2), (.off, .full, 2), (.quick, .fast, 2), (.quick, .full, 2),
    (.fast, .fast, 2), (.fast, .full, 2), (.full, .fast, 2), (.full, .full, 2),
  ]
  private static let defaultEffort = 2

  /// Whether a name or a file's first bytes are those of a Y4M file.
  static func isY4M(_ name: String) -> Bool { name.hasSuffix(".y4m") || name.hasSuffix(".Y4M") }

  static func isStream(_ name: String) -> Bool { name.hasSuffix(".scv") }

  static func interModel(_ arguments: Arguments) throws(ToolError) -> Model? {
    if arguments.has("intra-only") { return nil }
    if let file = arguments.string("inter-model") { return try parseModel(try readFile(file), file) }
    do { return try Model.embeddedInter() } catch { throw .badData(file: "the default inter model", error.description) }
  }

  /// Of fitting, where --model is that of inter frames.
  static func intraModel(_ arguments: Arguments) throws(ToolError) -> Model {
    if let file = arguments.string("intra-model") { return try parseModel(try readFile(file), file) }
    do { return try Model.embedded() } catch { throw .badData(file: "the default model", error.description) }
  }

  /// Adds a clip to one of two fitting sets.
  static func append(
    _ file: String, _ ratePoint: Int, _ model: Model, _ intra: Model, _ execution: Execution,
    to set: inout FittingSet, held: inout FittingSet, isHeld: Bool
  ) throws(ToolError) {
    let stream = try InputStream(file)
    var frames: [Picture] = []
    do throws(Y4MError) {
      var reader = try Y4MReader { count throws(Y4MError) in
        do { return try stream.read(count) } catch { throw .truncated }
      }
      while let frame = try reader.next() { frames.append(frame.format == .grey ? frame.withNeutralChroma : frame) }
    } catch { throw .badData(file: file, error.description) }
    do throws(EncodeError) {
      if isHeld {
        try held.append(clip: frames, ratePoint: ratePoint, of: model, intra: intra, execution: execution)
      } else {
        try set.append(clip: frames, ratePoint: ratePoint, of: model, intra: intra, execution: execution)
      }
    } catch { throw .badData(file: file, error.description) }
  }

  private static func bitrate(_ arguments: Arguments) throws(ToolError) -> Double? {
    guard let text = arguments.string("bitrate") else { return nil }
    let factor = text.hasSuffix("k") ? 1e3 : text.hasSuffix("M") ? 1e6 : 1
    guard let value = Double(factor == 1 ? text : String(text.dropLast())), value > 0, value.isFinite else {
      throw .usage("--bitrate \(text): not bits a second such as 800k")
    }
    return value * factor
  }

  static func settings(_ arguments: Arguments) throws(ToolError) -> VideoSettings {
    var settings = VideoSettings()
    let isLayer = arguments.has("lossless") || arguments.has("max-error")
    if isLayer {
      try arguments.atMostOne(of: ["lossless", "max-error"])
      try arguments.refuse(
        [
          "size", "bitrate", "quality", "rate-point", "rdoq", "intra-rdoq", "intra-offset", "pattern", "motion-weight",
          "search-weight", "intra-search-weight", "filter",
        ], "with a bound of the error")
      settings.rate = .maximumError(try arguments.integer("max-error", in: 1...15) ?? 0)
    } else if arguments.has("size") {
      try arguments.atMostOne(of: ["size", "bitrate", "quality", "rate-point"])
    } else if let bits = try bitrate(arguments) {
      guard !arguments.has("quality"), !arguments.has("rate-point") else {
        throw .usage("either --bitrate or a quality, not both")
      }
      settings.rate = .bitrate(bits)
    } else {
      settings.rate = .quality(try arguments.number("quality", in: 0...100) ?? 50)
    }
    settings.intraPeriod = try arguments.integer("intra-period", in: 0...1_000_000) ?? 0
    if let offset = try arguments.number("intra-offset", in: -100...100) { settings.intraOffset = offset }
    if let pattern = try arguments.numbers("pattern", in: -100...100) { settings.pattern = pattern }
    if let weight = try arguments.number("motion-weight", above: 0) { settings.motionWeight = weight }
    try arguments.atMostOne(of: ["effort", "rdoq"])
    let effort = try arguments.integer("effort", in: 0...9) ?? defaultEffort
    (settings.rdoq, settings.intraRDOQ, settings.motionEffort) = efforts[effort]
    if isLayer, arguments.has("effort") { settings.residualEffort = CodecOptions.residualEffort(effort) }
    if let rdoq = try CodecOptions.rdoq("rdoq", arguments) { settings.rdoq = rdoq }
    if let motion = try arguments.integer("motion-effort", in: 0...2) { settings.motionEffort = motion }
    if let rdoq = try CodecOptions.rdoq("intra-rdoq", arguments) { settings.intraRDOQ = rdoq }
    if let weight = try arguments.number("search-weight", above: 0) { settings.searchWeight = weight }
    if let weight = try arguments.number("intra-search-weight", above: 0) { settings.intraSearchWeight = weight }
    settings.filters = try CodecOptions.filters(arguments)
    settings.execution = try CodecOptions.execution(arguments)
    return settings
  }

  /// Frames of a Y4M file, as far as its size tells; nil for a pipe.
  private static func frameCount(_ file: String, _ header: Y4MHeader) -> Int? {
    fileSize(file).map { $0 / (header.sampleCount + 6) }
  }

  /// The highest quality, to one in 128, whose stream has at most `size` bytes: by bisection, each trial an encoding of
  /// the file.
  private static func quality(
    of size: Int, _ input: String, _ settings: VideoSettings, intra: Model, inter: Model?
  ) throws(ToolError) -> Double {
    var settings = settings
    var (low, high): (Double?, Double) = (nil, 100)
    for trial in 0..<8 {
      let quality = trial == 0 ? 0 : ((low ?? 0) + high) / 2
      settings.rate = .quality(quality)
      Progress.show("\(printable(input)): trial \(trial + 1) of 8", done: Double(trial) / 9)
      if try fits(size, input, settings, intra: intra, inter: inter) {
        low = quality
      } else if trial == 0 {
        break
      } else {
        high = quality
      }
    }
    guard let low else { throw .badData(file: input, "no stream of at most \(size) bytes") }
    return low
  }

  /// Whether a stream has at most `size` bytes.
  private static func fits(
    _ size: Int, _ input: String, _ settings: VideoSettings, intra: Model, inter: Model?
  ) throws(ToolError) -> Bool {
    let stream = try InputStream(input)
    do {
      var reader = try Y4MReader { count throws(Y4MError) in
        do { return try stream.read(count) } catch { throw .truncated }
      }
      let encoder = try VideoEncoder(
        intra: intra, inter: inter, width: reader.header.width, height: reader.header.height, settings)
      var sum = encoder.header.count
      while sum <= size, let frame = try reader.next() {
        sum += try encoder.encode(frame.format == .grey ? frame.withNeutralChroma : frame).bytes.count
      }
      return sum + encoder.finish().count <= size
    } catch let error as Y4MError {
      throw .badData(file: input, error.description)
    } catch let error as EncodeError {
      throw .badData(file: input, error.description)
    } catch {
      throw .badData(file: input, "\(error)")
    }
  }

  // MARK: Encoding

  static func encode(_ input: String, _ output: String, _ arguments: Arguments) throws(ToolError) {
    if arguments.has("size"), fileSize(input) == nil {
      throw .usage("\(printable(input)): --size needs a file that can be read several times, not a pipe")
    }
    let stream = try InputStream(input)
    func y4m<T>(_ body: () throws(Y4MError) -> T) throws(ToolError) -> T {
      do { return try body() } catch { throw .badData(file: input, error.description) }
    }
    var reader = try y4m { () throws(Y4MError) in
      try Y4MReader { count throws(Y4MError) in
        do { return try stream.read(count) } catch { throw .truncated }
      }
    }
    for warning in reader.warnings { printError("\(printable(input)): warning: \(warning.description)") }
    var settings = try settings(arguments)
    let rate = reader.header.frameRate
    let length = frameCount(input, reader.header)
    settings.frameRate = rate.denominator > 0 ? rate : (0, 1)
    settings.colour = reader.header.colour
    let intra = try loadModel(arguments)
    let inter = try interModel(arguments)
    if let size = try arguments.byteCount("size") {
      settings.rate = .quality(try quality(of: size, input, settings, intra: intra, inter: inter))
    }
    let encoder: VideoEncoder
    do {
      encoder = try VideoEncoder(
        intra: intra, inter: inter, width: reader.header.width, height: reader.header.height, settings)
    } catch { throw .badData(file: input, error.description) }
    let file = try OutputFile(output)
    var size = encoder.header.count
    try file.write(encoder.header)
    var error = (luma: 0.0, all: 0.0)
    let measures = !arguments.has("quiet")
    var frames = 0
    let start = ContinuousClock.now
    while let picture = try y4m({ () throws(Y4MError) in try reader.next() }) {
      let frame = picture.format == .grey ? picture.withNeutralChroma : picture
      let packet: VideoEncoder.Packet
      do { packet = try encoder.encode(frame) } catch { throw .badData(file: input, error.description) }
      try file.write(packet.bytes)
      size += packet.bytes.count
      frames += 1
      if measures {
        let psnr = planePSNR(frame, encoder.reconstruction)
        error.luma += psnr[0]
        error.all += (6 * psnr[0] + psnr[1] + psnr[2]) / 8
      }
      let seconds = start.duration(to: .now).seconds
      Progress.show(
        "\(printable(input)): frame \(frames), \(fixed(Double(frames) / seconds, 1)) frames/s",
        done: length.map { min(1, Double(frames) / Double(max(1, $0))) })
    }
    guard frames > 0 else { throw .badData(file: input, "no frames") }
    let end = encoder.finish()
    try file.write(end)
    size += end.count
    try file.finish()
    Progress.clear()
    let seconds = start.duration(to: .now).seconds
    let pixels = Double(frames * reader.header.width * reader.header.height)
    var line = "\(printable(input)): \(reader.header.width)x\(reader.header.height), \(frames) frames, \(size) bytes, "
    line += "\(fixed(Double(8 * size) / pixels, 4)) bit/pixel"
    if rate.numerator > 0, rate.denominator > 0 {
      let duration = Double(frames) * Double(rate.denominator) / Double(rate.numerator)
      line += ", \(fixed(Double(8 * size) / duration / 1000, 1)) kbit/s"
    }
    if measures {
      line += ", PSNR Y \(fixed(error.luma / Double(frames), 3)) dB, YUV \(fixed(error.all / Double(frames), 3)) dB"
    }
    line += ", \(fixed(Double(frames) / seconds, 1)) frames/s"
    if arguments.has("quiet") { return }
    if output == "-" { printError(line) } else { try printOutput(line + "\n") }
  }

  /// In dB, of Y, U and V; 100 for equal planes.
  static func planePSNR(_ a: Picture, _ b: Picture) -> [Double] {
    a.planes.indices.map { plane in
      min(
        100,
        peakSignalToNoiseRatio(
          squaredError: a.squaredError(to: b, plane: plane), samples: a.planes[plane].range.count))
    }
  }

  // MARK: Decoding

  /// A stream's packets, one after the other.
  struct PacketReader {
    private let stream: InputStream
    private let name: String
    private var buffer: [UInt8]
    /// The stream's header, its checksum verified.
    let header: VideoHeader
    let headerBytes: [UInt8]
    /// Where the next packet starts in the stream.
    private(set) var offset: Int
    /// What `next` gave last.
    private var last: [UInt8] = []

    init(_ name: String) throws(ToolError) {
      self.name = name
      stream = try InputStream(name)
      let bytes = try stream.readAll(VideoHeader.maximumSize)
      var size = 0
      do { header = try VideoHeader(parsing: bytes, size: &size) } catch {
        throw .badData(file: name, error.description)
      }
      headerBytes = Array(bytes[..<size])
      buffer = Array(bytes[size...])
      offset = size
    }

    private mutating func fill(_ count: Int) throws(ToolError) {
      if buffer.count < count { buffer += try stream.readAll(count - buffer.count) }
    }

    /// nil at the end of the stream. What is no packet is an error, in place of frame `number`.
    mutating func next(frame number: Int) throws(ToolError) -> [UInt8]? {
      last = []
      try fill(VideoPacketPrefix.prefixSize)
      if buffer.isEmpty { return nil }
      let size: Int
      do { size = try VideoPacketPrefix(parsing: buffer).size } catch {
        throw .badData(file: name, "frame \(number), at byte \(offset): \(error.description)")
      }
      try fill(size)
      let packet = Array(buffer.prefix(size))
      buffer.removeFirst(packet.count)
      offset += packet.count
      last = packet
      return packet
    }

    /// Skips bytes until the next intra frame begins; false at the end of the stream. A damaged size may have made others part
    /// of the last packet.
    mutating func resynchronise() throws(ToolError) -> Bool {
      buffer.insert(contentsOf: last, at: 0)
      offset -= last.count
      last = []
      let tags = ["INTR", "INTL"].map { Array($0.utf8) }
      while true {
        try fill(1 << 16)
        var i = 1
        while i + 4 <= buffer.count {
          if buffer[i] == tags[0][0], tags.contains(Array(buffer[i..<(i + 4)])) {
            buffer.removeFirst(i)
            offset += i
            return true
          }
          i += 1
        }
        if buffer.count < 1 << 16 { return false }
        let drop = buffer.count - 3
        buffer.removeFirst(drop)
        offset += drop
      }
    }
  }

  static func decode(_ input: String, _ output: String, _ arguments: Arguments) throws(ToolError) {
    let packets = try PacketReader(input)
    let header = packets.header
    let intra = try loadModel(arguments)
    let inter = header.interModelID == nil ? nil : try interModel(arguments)
    let execution = try CodecOptions.execution(arguments)
    let decoder: VideoDecoder
    do {
      decoder = try VideoDecoder(header: packets.headerBytes, intra: intra, inter: inter, execution: execution)
    } catch { throw .badData(file: input, error.description) }
    decoder.limits = try CodecOptions.limits(arguments)
    var y4m = Y4MHeader(
      width: header.width, height: header.height, chroma: .yuv420jpeg,
      isFullRange: header.colour == .unspecified ? nil : header.colour.isFullRange)
    if header.rate.numerator > 0 { y4m.frameRate = header.rate }
    let writer = Y4MWriter(y4m)
    let file = try OutputFile(output)
    try file.write(writer.start)
    let frameOutput = FrameOutput(file, writer)
    var decoded: Result<(frames: Int, failures: [String]), ToolError> = .success((0, []))
    let start = ContinuousClock.now
    parallel(threads: 2, count: 2) { job in
      if job == 1 { return frameOutput.writeAll() }
      do throws(ToolError) {
        decoded = .success(
          try decodeFrames(packets, decoder, input, frameOutput, resync: arguments.has("resync"), start))
      } catch { decoded = .failure(error) }
      frameOutput.close()
    }
    let (frames, failures) = try decoded.get()
    try frameOutput.check()
    try file.finish()
    Progress.clear()
    for failure in failures { printError(failure) }
    let seconds = start.duration(to: .now).seconds
    let line =
      "\(printable(input)): \(header.width)x\(header.height), \(frames) frames, "
      + "\(fixed(Double(frames) / seconds, 1)) frames/s"
    if output == "-" { printError(line) } else { try printOutput(line + "\n") }
    if !failures.isEmpty { throw .badData(file: input, "\(frames) frames were decoded before the stream's damage") }
  }

  /// Decodes a stream's frames until its end or, without `resync`, its first damage.
  private static func decodeFrames(
    _ packets: PacketReader, _ decoder: VideoDecoder, _ input: String, _ output: FrameOutput, resync: Bool,
    _ start: ContinuousClock.Instant
  ) throws(ToolError) -> (frames: Int, failures: [String]) {
    var packets = packets
    var frames = 0
    // The frame that is due, as far as is known.
    var number = 0
    var failures: [String] = []
    var hasEnded = false
    while true {
      do {
        guard let packet = try packets.next(frame: number) else { break }
        let frame: VideoDecoder.Frame?
        do throws(DecodeError) { frame = try decoder.decode(packet) } catch {
          throw ToolError.badData(file: input, "frame \(number): \(error.description)")
        }
        if let frame {
          try output.take(frame.picture)
          frames += 1
          number = frame.number + 1
          let seconds = start.duration(to: .now).seconds
          Progress.show("\(printable(input)): frame \(frames), \(fixed(Double(frames) / seconds, 1)) frames/s")
        } else if (try? VideoPacketPrefix(parsing: packet))?.tag.description == "END " {
          hasEnded = true
          break
        }
      } catch let error as ToolError {
        guard case .badData = error else { throw error }
        failures.append(error.message)
        // What was decoded before stays; with --resync decoding goes on at the next intra frame.
        guard resync, try packets.resynchronise() else { break }
      } catch { throw .badData(file: input, "\(error)") }
    }
    if !hasEnded, failures.isEmpty { failures.append("\(printable(input)): the stream has no end: it is cut off") }
    return (frames, failures)
  }
}

extension Picture {
  /// A grey picture as a 4:2:0 one without colour.
  var withNeutralChroma: Picture {
    let chroma = [UInt8](repeating: 128, count: 2 * ((width + 1) / 2) * ((height + 1) / 2))
    guard let picture = try? Picture(width: width, height: height, format: .yuv420, samples: samples + chroma) else {
      preconditionFailure("a grey picture of this size exists, so a 4:2:0 one does")
    }
    return picture
  }
}
