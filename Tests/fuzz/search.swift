// SPDX-License-Identifier: BSD-3-Clause
//
// Encoders with a search: costs fall, and the file decodes to what the encoder says.

nonisolated(unsafe) private let searchEncoders =
  models.map { Encoder(model: $0) } + [Encoder(model: load("models/base.scm"))]

nonisolated(unsafe) private let mixtureEncoders = [models[0], load("models/tiny-grown.scm")].map { Encoder(model: $0) }

func prepareSearch() { _ = searchEncoders.count + mixtureEncoders.count }

func fuzzSearch(_ input: [UInt8]) {
  guard input.count > 16 else { return }
  if input[13] & 7 == 7 { return fuzzFrameSearch(input) }
  if input[13] & 7 == 6 { return fuzzMixture(input) }
  // Now and then the paper's network, whose entropy models have means of values that are known.
  let i = input[0] == 255 ? 3 : Int(input[0]) % 3
  let model = searchEncoders[i].model
  // That is prepared at one position, and takes small pictures.
  let side = i == 3 ? 8 : 16
  let (width, height) = (1 + Int(input[1]) % side, 1 + Int(input[2]) % side)
  let format = PixelFormat(rawValue: input[3] % 3) ?? .rgb
  guard model.codes(format) else { return }
  // Mostly rate points, whose networks stay prepared.
  var position = model.position(quality: Double(input[4]) / 2.55)
  if i == 3 || input[4] & 7 != 7 { position = RatePosition(ratePoint: i == 3 ? 0 : position.ratePoint) }
  var settings = EncoderSettings(position: position)
  settings.rdoq = i == 3 ? .quick : [RDOQ.quick, .fast, .full, .off][Int(input[5] & 3)]
  settings.hasDeadZone = input[5] & 4 == 0
  settings.rdoqShare = Double(1 + Int(input[6])) / 4096
  let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(input[8 + $1]) << UInt32(8 * $1) }
  if input[7] & 1 == 1 { settings.lambda = Double(Float(bitPattern: bits)) }
  settings.entropy = input[7] & 2 == 0 ? nil : model.entropyKinds[Int(input[7] >> 2) % model.entropyKinds.count]
  settings.holdsQuality = input[13] & 8 != 0
  if input[13] & 16 != 0 { settings.maximumError = Int(input[14] & 15) }
  settings.base = [.smallest, .position, .none, .smallest][Int(input[14] >> 4 & 3)]
  settings.residualEffort = Int(input[14] >> 6) % 3
  if input[13] & 32 != 0 { settings.monitor = { $0 < Double(input[15]) / 200 } }
  let encoder = searchEncoders[i]
  encoder.segmentRows = input[7] & 0x40 == 0 ? 8 : Int(Int8(bitPattern: input[12]))
  let picture = picture(input, width, height, format)
  let target: EncoderTarget? =
    switch input[13] >> 6 {
    case 1: .bytes(20 + 8 * Int(input[15]))
    case 2: .bitsPerPixel(Double(input[15]) / 16)
    case 3: .psnr(Double(input[15]) / 4)
    default: nil
    }
  let result: Encoded?
  if let target {
    settings.rdoq = .off
    result = try? encoder.encode(picture, settings, target: target)
  } else {
    result = try? encoder.encode(picture, settings)
  }
  guard let encoded = result else { return }
  if let report = encoded.rdoq {
    precondition(report.finalCost <= report.initialCost && report.finalCost.isFinite, "the cost rose")
  }
  guard let decoded = try? Decoder(model: model).decode(encoded.bytes) else { fatalError("does not decode") }
  precondition(encoded.reconstruction == nil || decoded == encoded.reconstruction, "another picture")
}

private func picture(_ input: [UInt8], _ width: Int, _ height: Int, _ format: PixelFormat, _ seed: Int = 0) -> Picture {
  let count = format.sampleCount(width: width, height: height)
  let samples = (0..<count).map { i in
    input[16 + (i + seed) % (input.count - 16)] &+ UInt8(truncatingIfNeeded: i / 97)
  }
  return Picture(unchecked: width, height, format, samples)
}

/// The same of a picture that has letters beside what an input's bytes are, with a model of one domain or two.
private func fuzzMixture(_ input: [UInt8]) {
  let encoder = mixtureEncoders[Int(input[0] & 1)]
  let (width, height) = (33 + Int(input[1]) % 64, 32 + Int(input[2]) % 33)
  let format: PixelFormat = encoder.model.codes(.grey) && input[3] & 1 == 1 ? .grey : .rgb
  let components = format == .grey ? 1 : 3
  let letters = Int(input[5]) % (width + 1)
  let samples = (0..<width * height * components).map { i in
    let (x, y) = (i / components % width, i / components / width)
    if x >= letters { return UInt8(60 + x / 2 + Int(input[16 + (7 * x + 3 * y + i) % (input.count - 16)]) % 64) }
    return y % 11 < 8 && x % 7 < 2 ? input[8 + i % components] & 127 : 255
  }
  let picture = Picture(unchecked: width, height, format, samples)
  var settings = EncoderSettings(position: encoder.model.position(quality: Double(input[4]) / 2.55))
  settings.rdoq = input[6] & 7 == 7 ? .quick : .off
  settings.choosesDomain = input[6] & 8 != 0
  settings.holdsQuality = input[6] & 16 != 0
  settings.mixes = true
  settings.execution.threads = 1 + Int(input[6] >> 5 & 1)
  encoder.segmentRows = input[6] & 0x40 == 0 ? 64 : 24
  guard let encoded = try? encoder.encode(picture, settings) else { fatalError("a picture cannot be encoded") }
  guard let decoded = try? Decoder(model: encoder.model).decode(encoded.bytes) else { fatalError("does not decode") }
  precondition(decoded == encoded.reconstruction, "another picture")
  guard settings.holdsQuality, !settings.choosesDomain else { return }
  let promised = Model.minimumPSNR(quality: encoder.model.quality(of: settings.position))
  let error = picture.withView { view in decoded.withView { $0.squaredError(to: view) } }
  precondition(
    peakSignalToNoiseRatio(squaredError: error, samples: samples.count) >= promised, "a quality that is not kept")
}

/// The same of frames of a stream.
private func fuzzFrameSearch(_ input: [UInt8]) {
  let (width, height) = (1 + Int(input[1]) % 40, 1 + Int(input[2]) % 40)
  var settings = VideoSettings()
  settings.rate =
    switch input[3] & 7 {
    case 7: .maximumError(Int(input[4] & 15))
    case let rate where rate & 1 == 0: .quality(Double(input[4]) / 2.55)
    default: .bitrate(Double(1 + Int(input[4]) * 100))
    }
  settings.rdoq = [RDOQ.off, .quick, .fast, .off][Int(input[5] & 3)]
  settings.intraRDOQ = [RDOQ.off, .quick, .off, .off][Int(input[5] >> 2 & 3)]
  settings.motionEffort = Int(input[6]) % 3
  settings.intraPeriod = Int(input[7] & 3)
  settings.detectsScenes = input[7] & 4 == 0
  settings.segmentRows = [0, 8, 24, 16][Int(input[7] >> 3 & 3)]
  settings.motionWeight = Double(input[8]) / 64
  settings.searchWeight = Double(input[9]) / 32
  settings.execution.threads = 1 + Int(input[10] & 1)
  let cpus = CPU.available
  settings.execution.cpu = cpus[Int(input[10] >> 1) % cpus.count]
  guard let encoder = try? VideoEncoder(intra: models[2], inter: interModel, width: width, height: height, settings),
    let decoder = try? VideoDecoder(header: encoder.header, intra: models[2], inter: interModel)
  else { return }
  for t in 0..<3 {
    // Moved by some samples, or another picture.
    let frame = picture(input, width, height, .yuv420, t * Int(input[11]))
    guard let packet = try? encoder.encode(frame) else { return }
    guard let decoded = try? decoder.decode(packet.bytes) else { fatalError("a frame of its own does not decode") }
    precondition(decoded.picture == encoder.reconstruction, "another frame")
    guard case .maximumError(let error) = settings.rate else { continue }
    for (a, b) in zip(frame.samples, decoded.picture.samples) {
      precondition(abs(Int(a) - Int(b)) <= error, "beyond the largest error")
    }
  }
}

func searchSeeds() -> [[UInt8]] {
  var random = SplitMix(3)
  return (0..<128).map { i in
    var seed = (0..<(16 + 8 * (1 + i % 16))).map { _ in UInt8(random.below(256)) }
    (seed[0], seed[3], seed[5]) = (UInt8(i % 3), UInt8(i / 3 % 3), UInt8(i / 9 % 8))
    if i % 48 == 0 { seed[0] = 255 }
    if i >= 96 {
      (seed[0], seed[13]) = (UInt8(i & 1), 6)
      return seed
    }
    // Few of them with λ of their own, targets or other heights of segments.
    seed[7] = UInt8(i % 7 == 0 ? random.below(256) : 0x3e & random.below(256))
    seed[13] = UInt8(i % 5 == 0 ? random.below(256) : i % 5 == 1 ? 7 : 0)
    return seed
  }
}
